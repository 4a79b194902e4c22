"""YOLOs of both output forms, made FP16 and INT8 by our own quantizer, through the double of TensorRT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from stages.quantize.dialect import to_dialect
from stages.quantize.foreign import prepared
from stages.quantize.half.convert import to_half
from stages.quantize.half.decoding import decoding_of
from stages.quantize.insert import insert_qdq
from stages.quantize.placement import place
from targets.kit import BoardWork
from targets.profile import Dialect, TargetProfile
from targets.trt.build import PLAN_NAME, build
from targets.trt.run import open_plan
from tests.stages.conftest import checkpoint_of  # noqa: F401 — a fixture
from tests.stages.quantize.conftest import grids_for  # noqa: F401 — likewise
from tests.stages.quantize.test_families import export, pictures
from tests.trt_double.boards import reference
from tests.trt_double.fixtures import board_here, live_handles

pytestmark = pytest.mark.slow

ORIN = TargetProfile(name="orin", device="Orin", runtime="tensorrt", sm="8.7", local=False)
OLD, NEW = Dialect(), Dialect(opset=19, scale_dtype="float16", tensor_cores=True)
FORMS = {"yolo11n": (1, 7, 189), "yolo26n": (1, 189, 6)}  # raw; end-to-end, with TopK. 3 classes, 96 px
WORK = BoardWork(runs=20, seconds=1, warmup_runs=2, warmup_s=0.01)

ModelOf = Callable[[str, str, Dialect], onnx.ModelProto]


@pytest.fixture(scope="module")
def model_of(checkpoint_of, grids_for, tmp_path_factory) -> ModelOf:  # noqa: F811
    """Give the graph of a family in a precision and a dialect."""
    exported: dict[str, onnx.ModelProto] = {}

    def make(family: str, precision: str, dialect: Dialect) -> onnx.ModelProto:
        if family not in exported:
            exported[family] = prepared(export(checkpoint_of(family), tmp_path_factory.mktemp(family)))
        model = exported[family]
        if precision == "fp16":
            return to_half(model, decoding_of(model))
        if precision == "int8":
            placement = place(model, exclude=("head",), tensor_cores=dialect.tensor_cores)
            model = insert_qdq(model, placement, grids_for(model, placement, pictures(1)))
            return to_dialect(model, dialect)
        return model

    return make


@pytest.mark.parametrize("family", FORMS)
@pytest.mark.parametrize(("line", "dialect"), [("8.5", OLD), ("10.3", NEW), ("11.4", NEW)])
def test_every_precision_builds_and_computes_what_its_graph_says(
    family: str, line: str, dialect: Dialect, model_of: ModelOf, tmp_path: Path
) -> None:
    images, told = pictures(1), {}
    for precision in ("fp32", "fp16", "int8"):
        model = model_of(family, precision, dialect)
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        with board_here(line):
            told[precision] = build(path, ORIN, tmp_path, WORK, cache=None, progress=lambda *_: None)
            with open_plan(tmp_path / PLAN_NAME) as session:
                found = session.infer(images)
                assert session.graph
            assert set(live_handles().values()) == {0}

        assert found.shape == FORMS[family]
        # Threads add in another order, which FP16 rounds; where scores are alike, TopK may swap boxes.
        part, within = (np.s_[..., 4], 0.01) if family == "yolo26n" else (np.s_[:], 0.2)  # score; pixels
        np.testing.assert_allclose(found[part], reference(model, images)[part], rtol=0, atol=within)

    assert set(told["fp32"].layers) <= {"FP32", "other"}
    assert told["fp16"].layers["FP16"] > told["fp16"].layers["FP32"]  # of decoding
    assert told["int8"].layers["INT8"] > 20
    assert told["int8"].fell_out == ()
    assert told["int8"].reformats > 0
