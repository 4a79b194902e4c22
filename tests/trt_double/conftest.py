"""Boards that tests run on."""

import pytest

from tests.trt_double.boards import Board
from tests.trt_double.fixtures import LINES, board_here


@pytest.fixture(params=LINES)
def board(request):
    with board_here(request.param) as trt:
        yield Board(trt)


@pytest.fixture
def on():
    """Give a board of a line that the test names."""
    opened = []

    def open_board(line, **more):
        opened.append(board_here(line, **more))
        return Board(opened[-1].__enter__())

    yield open_board
    for manager in reversed(opened):
        manager.__exit__(None, None, None)
