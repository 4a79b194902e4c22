"""Which picture comes when."""

import random

from stages.train.order import Order, draw_from, mix
from stages.train.parallel import Place


def numbers(order: Order) -> list[int]:
    return [number for _, number in order]


def test_each_epoch_has_all_pictures_in_an_order_of_its_own() -> None:
    order = Order(9, seed=0)

    first, second = list(order), list(order)

    assert {epoch for epoch, _ in first} == {0}
    assert {epoch for epoch, _ in second} == {1}
    assert sorted(number for _, number in first) == list(range(9))
    assert [number for _, number in first] != [number for _, number in second]


def test_an_epoch_is_the_same_whatever_was_before_it() -> None:
    whole, resumed = Order(9, seed=3), Order(9, seed=3)
    numbers(whole), numbers(whole)
    resumed.epoch = 2

    assert list(whole) == list(resumed)


def test_ranks_share_the_pictures_out_as_many_to_each() -> None:
    parts = [numbers(Order(7, seed=0, place=Place(rank=rank, ranks=3))) for rank in range(3)]

    assert [len(part) for part in parts] == [3, 3, 3]
    assert set().union(*parts) == set(range(7))


def test_without_shuffling_pictures_come_as_they_are() -> None:
    assert numbers(Order(4, seed=0, shuffle=False)) == [0, 1, 2, 3]


def test_randomness_depends_on_seed_epoch_and_picture() -> None:
    seeds = {mix(*three) for three in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0), (0, 10, 0))}
    draw_from(mix(0, 1, 0))
    first = random.random()
    draw_from(mix(0, 1, 0))

    assert len(seeds) == 5
    assert random.random() == first
