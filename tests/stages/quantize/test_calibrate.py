"""Calibration: scales from the values that tensors take."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.artifact import Artifact
from stages.dataset import Picture, load_dataset
from stages.quantize.calibrate import Q_MAX, CalibrationPictures, Histogram, activation_scales
from stages.stage import no_progress
from targets.errors import DataError, ModelError
from targets.model import InputSpec

Build = Callable[..., onnx.ModelProto]
SPEC = InputSpec(height=16, width=16)
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=50_000).astype(np.float32)


def counted(*batches: np.ndarray) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def squared_error(values: np.ndarray, scale: float) -> float:
    there_and_back = np.clip(np.rint(values / scale), -Q_MAX, Q_MAX) * scale
    return float(((there_and_back - values) ** 2).mean())


class TestHistogram:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(NORMAL, id="normal"),
            pytest.param(RANDOM.laplace(size=50_000).astype(np.float32), id="long tails"),
            pytest.param(NORMAL / (1 + np.exp(-3 * NORMAL)), id="after SiLU"),
            pytest.param(np.maximum(NORMAL, 0), id="after ReLU, half of it zeros"),
            pytest.param(RANDOM.random(50_000, np.float32), id="a picture"),
            pytest.param(np.append(NORMAL, np.float32(300)), id="an outlier"),
            pytest.param(NORMAL * np.float32(1e-6), id="small"),
            pytest.param(NORMAL * np.float32(1e6), id="large"),
        ],
    )
    def test_no_scale_has_a_smaller_error(self, values: np.ndarray) -> None:
        scale = counted(values).scale()

        tried = np.abs(values).max() / Q_MAX * np.geomspace(0.005, 1, 300)
        assert squared_error(values, scale) <= 1.05 * min(squared_error(values, one) for one in tried)

    def test_a_constant_loses_less_than_a_step(self) -> None:
        scale = counted(np.full(1000, 0.4470588, np.float32)).scale()

        assert scale == pytest.approx(0.4470588 / Q_MAX, rel=0.01)

    @settings(deadline=None)
    @given(st.lists(st.floats(2.0**-60, 2.0**60, width=32), min_size=1, max_size=20))
    def test_its_range_doubles_without_losing_a_count(self, magnitudes: list[float]) -> None:
        histogram = counted(*(np.array([one, -one / 3], np.float32) for one in magnitudes))

        assert histogram.counts.sum() == 2 * len(magnitudes)
        assert histogram.top >= max(magnitudes)
        assert histogram.top < 2 * max(magnitudes)

    def test_it_is_as_if_all_values_had_come_at_once_however_they_come(self) -> None:
        rising = np.sort(np.abs(NORMAL))

        halves, whole = counted(rising[:25_000], rising[25_000:]), counted(rising)

        assert halves.scale() == pytest.approx(whole.scale(), rel=0.02)

    def test_its_size_does_not_depend_on_how_much_it_has_seen(self) -> None:
        histogram = counted(*(NORMAL * np.float32(factor) for factor in range(1, 50)))

        assert histogram.counts.nbytes == Histogram().counts.nbytes

    def test_of_a_large_tensor_it_looks_at_all_columns(self) -> None:
        tensor = np.zeros((1, 64, 256, 256), np.float32)
        tensor[..., 77] = 3.0  # a stride of 64 would never meet it

        histogram = counted(tensor)

        assert histogram.counts.sum() == pytest.approx(tensor.size / 256 / 65, rel=0.01)

    @pytest.mark.parametrize("value", [0.0, 1e-38, 1e-44])
    def test_what_is_always_zero_has_a_scale_that_one_can_divide_by(self, value: float) -> None:
        assert counted(np.full(10, value, np.float32)).scale() == 1.0

    def test_zeros_do_not_count(self) -> None:
        assert counted(NORMAL, np.zeros(10**6, np.float32)).scale() == counted(NORMAL).scale()


def scales_of(
    model: onnx.ModelProto, tensors: tuple[str, ...], root: Artifact, chosen: tuple[Picture, ...]
) -> dict[str, float]:
    return activation_scales(
        model, tensors, CalibrationPictures(root, chosen), spec=SPEC, progress=no_progress
    )


def grey_picture(folder: Path, grey: int) -> Picture:
    path = folder / f"{grey}.png"
    cv2.imwrite(str(path), np.full((16, 16, 3), grey, np.uint8))
    return Picture(
        file=path.name,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        width=16,
        height=16,
        boxes=np.zeros((0, 5)),
        crowd=np.zeros(0, np.bool_),
    )


def test_every_tensor_gets_a_scale_by_all_pictures(
    detector: onnx.ModelProto, drawn: tuple[Artifact, Artifact]
) -> None:
    index, pictures = drawn
    chosen = load_dataset(index).train

    scales = scales_of(detector, ("images", "a0", "output0"), pictures, chosen)

    assert list(scales) == ["images", "a0", "output0"]
    assert scales["images"] == pytest.approx(200 / 255 / Q_MAX, rel=0.01)
    assert all(scale > 0 for scale in scales.values())
    assert scales == scales_of(detector, ("images", "a0", "output0"), pictures, chosen)


def test_the_input_alone_can_be_calibrated(
    detector: onnx.ModelProto, drawn: tuple[Artifact, Artifact]
) -> None:
    index, pictures = drawn

    scales = scales_of(detector, ("images",), pictures, load_dataset(index).calibration)

    assert list(scales) == ["images"]


def test_a_tensor_that_is_not_finite_is_named_with_the_picture(build: Build, tmp_path: Path) -> None:
    bright, dark = (grey_picture(tmp_path, grey) for grey in (200, 50))
    model = build(
        "above = Sub (images, limit) root = Sqrt (above) output0 = Relu (root)",
        {},
        {"limit": np.array(0.5, np.float32)},
    )

    with pytest.raises(ModelError, match=r"Tensor root is not finite on 50\.png") as caught:
        scales_of(model, ("images", "above", "root"), Artifact(tmp_path, ""), (bright, dark))

    assert caught.value.hint
    assert "root" in scales_of(model, ("root",), Artifact(tmp_path, ""), (bright,))


def test_without_pictures_there_is_no_calibration(
    detector: onnx.ModelProto, drawn: tuple[Artifact, Artifact]
) -> None:
    with pytest.raises(DataError, match="no calibration pictures"):
        scales_of(detector, ("images",), drawn[1], ())


def test_a_picture_that_changed_since_is_refused(detector: onnx.ModelProto, tmp_path: Path) -> None:
    picture = grey_picture(tmp_path, 10)
    grey_picture(tmp_path, 20)
    (tmp_path / "20.png").replace(tmp_path / "10.png")

    with pytest.raises(DataError, match="has changed"):
        scales_of(detector, ("images",), Artifact(tmp_path, ""), (picture,))
