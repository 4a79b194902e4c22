"""Runtimes are asked about models without the bulk of their weights, and say the same as of the whole."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, load, numpy_helper, parser

from stages.check.ask import ask
from stages.check.lean import write_lean

TEXT = '<ir_version: 8, opset_import: ["": 17]> g (float[1, 400] x) => (float[1, n] y) {{ {} }}'
BULK = np.ones((400, 400), np.float32)  # 640 kB


def _model(body: str, **tensors: NDArray[np.generic]) -> ModelProto:
    model = parser.parse_model(TEXT.format(body))
    model.graph.initializer.extend(numpy_helper.from_array(one, name) for name, one in tensors.items())
    return model


def _ask_both(model: ModelProto, folder: Path) -> list[str]:
    write_lean([model], folder)
    return [ask(runtime, folder, 1, timeout_s=30)[0] for runtime in ("openvino", "onnxruntime")]


def _kept(model: ModelProto, folder: Path) -> ModelProto:
    write_lean([model], folder)
    return load(folder / "0.onnx", load_external_data=False)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int8, np.uint8])
def test_bulk_of_every_weight_type_is_left_out_and_the_file_still_opens(tmp_path: Path, dtype: type) -> None:
    model = _model("c = Cast <to = 1> (w) y = MatMul (x, c)", w=BULK.astype(dtype))

    assert _ask_both(model, tmp_path) == ["", ""]
    assert (tmp_path / "0.onnx").stat().st_size < 500


def test_weights_that_were_left_out_are_finite_and_not_zero(tmp_path: Path) -> None:
    write_lean([_model("y = MatMul (x, w)", w=BULK)], tmp_path)

    session = onnxruntime.InferenceSession(tmp_path / "0.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"x": np.ones((1, 400), np.float32)})

    assert np.isfinite(answer).all()
    assert (answer > 1).all()


def test_weights_given_one_by_one_are_left_out_too(tmp_path: Path) -> None:
    model = _model("y = MatMul (x, w)")
    model.graph.initializer.add(
        name="w", data_type=TensorProto.FLOAT, dims=BULK.shape, float_data=BULK.ravel().tolist()
    )

    assert _ask_both(model, tmp_path) == ["", ""]
    assert (tmp_path / "0.onnx").stat().st_size < 500


@pytest.mark.parametrize(
    "tensor",
    [np.arange(20_000, dtype=np.int64), np.full(8192, 0.25, np.float32), np.ones(90_000, np.bool_)],
    ids=["indices", "small", "mask"],
)
def test_integers_and_small_tensors_stay_as_they_are(tmp_path: Path, tensor: NDArray[np.generic]) -> None:
    kept = _kept(_model("y = Identity (x)", t=tensor), tmp_path)

    assert np.array_equal(numpy_helper.to_array(kept.graph.initializer[0]), tensor)


@pytest.mark.parametrize("broken", ["too short", "given twice", "negative side"])
def test_data_that_do_not_fit_their_shape_stay_as_they_are(tmp_path: Path, broken: str) -> None:
    model = _model("y = MatMul (x, w)", w=BULK)
    (tensor,) = model.graph.initializer
    match broken:
        case "too short":
            tensor.raw_data = tensor.raw_data[:-4]
        case "given twice":
            tensor.float_data.extend([1.0, 2.0])
        case _:
            tensor.dims[:] = [-400, -400]

    kept = _kept(model, tmp_path)

    assert kept == model


def test_all_else_of_a_model_is_kept(tmp_path: Path) -> None:
    model = _model("y = MatMul (x, w)", w=BULK)
    model.metadata_props.add(key="stride", value="32")
    model.graph.quantization_annotation.add(tensor_name="w")
    model.producer_name, model.graph.doc_string = "exporter", "a note"

    kept = _kept(model, tmp_path)

    del kept.graph.initializer[:], model.graph.initializer[:]
    assert kept == model
