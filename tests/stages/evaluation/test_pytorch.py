from collections.abc import Callable

import numpy as np
import pytest

from stages.artifact import Artifact
from stages.evaluation.pytorch import open_checkpoint

pytestmark = pytest.mark.slow  # they load torch, and train or export


@pytest.mark.parametrize(
    ("family", "shape"), [("yolo11n", (2, 4 + 3, 84)), ("yolo26n", (2, 84, 6))], ids=["raw", "end to end"]
)
def test_the_output_is_laid_out_as_model_json_says(
    family: str, shape: tuple[int, ...], checkpoint_of: Callable[..., Artifact]
) -> None:
    images = np.random.default_rng(0).random((2, 3, 64, 64), dtype=np.float32)

    with open_checkpoint(checkpoint_of(family)) as infer:
        output = infer(images)
        again = infer(images)

    assert output.shape == shape
    assert output.dtype == np.float32
    assert np.array_equal(output, again)


def test_pictures_of_another_size_are_no_trouble(checkpoint_of: Callable[..., Artifact]) -> None:
    with open_checkpoint(checkpoint_of("yolo11n")) as infer:
        shapes = [infer(np.zeros((1, 3, side, side), np.float32)).shape for side in (64, 96, 64)]

    assert shapes == [(1, 7, 84), (1, 7, 189), (1, 7, 84)]
