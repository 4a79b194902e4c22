"""Parity: the layers of a checkpoint, its export and its INT8 form, and where a fault begins."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from stages.artifact import Artifact
from stages.build import Build, BuildInputs
from stages.dataset import load_dataset, save_dataset
from stages.export import Export, ExportInputs
from stages.stage import no_progress
from stages.verify.parity import Agreement, Parity, ParityInputs
from targets.errors import DataError
from targets.profile import TargetProfile

pytestmark = pytest.mark.slow  # they load torch, and export
CPU = TargetProfile(name="cpu", device="this machine", runtime="onnxruntime")
Pair = tuple[Artifact, Artifact]


@pytest.fixture(scope="module")
def exported(
    checkpoint_of: Callable[..., Artifact], small_yaml: Callable[..., str], tmp_path_factory
) -> Callable[[str], Pair]:
    """Give a checkpoint and its export: of a stock model, or of a small one."""

    def make(family: str) -> Pair:
        checkpoint = checkpoint_of(family, "" if family.startswith("yolo") else small_yaml())
        out = tmp_path_factory.mktemp("export")
        return checkpoint, Export().run(ExportInputs(checkpoint=checkpoint), out, no_progress).onnx

    return make


@pytest.fixture(scope="module")
def small(exported: Callable[[str], Pair]) -> Pair:
    return exported("small")


def compare(
    pair: Pair, drawn: Pair, *, layers: bool = True, profile: TargetProfile | None = None, pictures: int = 2
) -> Agreement:
    inputs = ParityInputs(
        reference=pair[0], candidate=pair[1], index=drawn[0], pictures=drawn[1], profile=profile, host=""
    )
    return Parity(layers=layers, pictures=pictures).run(inputs, Path("unused"), no_progress)


def altered(source: Artifact, folder: Path, change: Callable[[onnx.GraphProto], None]) -> Artifact:
    shutil.copytree(source.path, folder)
    model = onnx.load(folder / "model.onnx")
    change(model.graph)
    onnx.save(model, folder / "model.onnx")
    return Artifact.of(folder)


def scale_weights(node: str) -> Callable[[onnx.GraphProto], None]:
    """Give a fault: the weights of one convolution are half as large again."""

    def change(graph: onnx.GraphProto) -> None:
        (name,) = (one.input[1] for one in graph.node if one.name == node)
        (weight,) = (one for one in graph.initializer if one.name == name)
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), name))

    return change


@pytest.mark.parametrize(
    ("family", "least"), [("small", 15), ("yolov8n", 60), ("yolo11n", 90), ("yolov10n", 90), ("yolo26n", 90)]
)
def test_every_layer_of_an_export_is_that_of_its_checkpoint(
    family: str, least: int, exported: Callable[[str], Pair], drawn: Pair
) -> None:
    found = compare(exported(family), drawn)

    assert len(found.points) >= least
    assert min(one.sqnr_db for one in found.points) > 80
    assert found.points[-1].point == "scores"


def test_looking_leaves_nothing_behind_in_what_models_share(
    exported: Callable[[str], Pair], small: Pair, drawn: Pair
) -> None:
    compare(small, drawn)

    _, again = exported("small")

    assert again.digest == small[1].digest


def test_a_layer_that_the_export_got_wrong_is_the_first_that_departs(
    small: Pair, drawn: Pair, tmp_path: Path
) -> None:
    wrong = altered(small[1], tmp_path / "wrong", scale_weights("/model.2/cv2/conv/Conv"))

    found = compare((small[0], wrong), drawn)
    first = next(one for one in found.points if one.sqnr_db < 60)

    assert first.point == "/model.2/cv2/act/Mul_output_0"
    assert first.sqnr_db < 40


def test_two_graphs_are_compared_node_by_node(small: Pair, drawn: Pair, tmp_path: Path) -> None:
    wrong = altered(small[1], tmp_path / "wrong", scale_weights("/model.2/cv2/conv/Conv"))

    found = compare((small[1], wrong), drawn)
    first = next(one for one in found.points if one.sqnr_db < 60)

    assert first.point == "/model.2/cv2/conv/Conv_output_0"
    assert first.sqnr_db < 40


def test_rounding_shows_behind_the_node_that_reads_it(small: Pair, drawn: Pair, tmp_path: Path) -> None:
    def quantize(graph: onnx.GraphProto) -> None:
        (conv,) = (one for one in graph.node if one.name == "/model.1/conv/Conv")
        grid = [("scale", np.float32(0.05)), ("zero", np.int8(0))]
        graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in grid)
        place = list(graph.node).index(conv)
        source, conv.input[0] = conv.input[0], "rounded"
        graph.node.insert(place, helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["rounded"]))
        graph.node.insert(place, helper.make_node("QuantizeLinear", [source, "scale", "zero"], ["q"]))

    int8 = altered(small[1], tmp_path / "int8", quantize)

    found = {one.point: one.sqnr_db for one in compare((small[1], int8), drawn).points}

    assert found["/model.0/act/Mul_output_0"] == 200
    assert found["/model.1/conv/Conv_output_0"] < 60


def test_by_default_what_neck_and_head_give_is_looked_at(small: Pair, drawn: Pair) -> None:
    *inner, boxes, scores = (one.point for one in compare(small, drawn, layers=False).points)

    assert set(inner) == {
        "/model.4/act/Mul_output_0",
        "/model.5/act/Mul_output_0",
        "/model.6/cv2.0/cv2.0.2/Conv_output_0",
        "/model.6/cv2.1/cv2.1.2/Conv_output_0",
        "/model.6/cv3.0/cv3.0.2/Conv_output_0",
        "/model.6/cv3.1/cv3.1.2/Conv_output_0",
    }
    assert (boxes, scores) == ("boxes", "scores")


def test_of_an_engine_the_answer_is_looked_at(small: Pair, drawn: Pair, tmp_path: Path) -> None:
    built = Build(precision="fp32").run(BuildInputs(model=small[1], profile=CPU), tmp_path, no_progress)

    found = compare((small[1], built.engine), drawn, profile=CPU)

    assert [one.point for one in found.points] == ["boxes", "scores"]
    assert min(one.sqnr_db for one in found.points) > 80


def test_as_many_pictures_are_looked_at_as_there_are(small: Pair, drawn: Pair) -> None:
    assert compare(small, drawn, layers=False, pictures=3).pictures == 3
    assert compare(small, drawn, layers=False, pictures=100).pictures == 8


def test_without_validation_pictures_nothing_can_be_compared(
    small: Pair, drawn: Pair, tmp_path: Path
) -> None:
    save_dataset(replace(load_dataset(drawn[0]), val=()), tmp_path)

    with pytest.raises(DataError, match="no validation picture"):
        compare(small, (Artifact.of(tmp_path), drawn[1]))
