import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from stages.artifact import Artifact
from stages.evaluation.pytorch import open_checkpoint
from stages.export import Export, ExportInputs
from stages.stage import no_progress
from targets.errors import ExportError, UsageError
from targets.model import load_model_spec

pytestmark = pytest.mark.slow  # they load torch, and train or export

SLOW = pytest.mark.slow
CheckpointOf = Callable[..., Artifact]


def export(checkpoint: Artifact, out: Path, **settings: int) -> Artifact:
    return Export(**settings).run(ExportInputs(checkpoint=checkpoint), out, no_progress).onnx


def run_onnx(model: Artifact, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(["output0"], {"images": images})[0]


def images_for(model: Artifact) -> NDArray[np.float32]:
    spec = load_model_spec(model.path)
    return np.random.default_rng(1).random((1, 3, spec.input.height, spec.input.width), dtype=np.float32)


def near(row: NDArray[np.float32], rows: NDArray[np.float32]) -> bool:
    gap = np.abs(rows - row)
    return bool(((gap[:, :4].max(1) < 1e-3) & (gap[:, 4] < 1e-4) & (gap[:, 5] == 0)).any())


@pytest.mark.parametrize(
    "family",
    ["yolo11n", *(pytest.param(name, marks=SLOW) for name in ("yolov5n", "yolov8n", "yolov9t", "yolo12n"))],
)
def test_the_graph_answers_as_pytorch_does(family: str, checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = checkpoint_of(family)
    model = export(checkpoint, tmp_path)
    images = images_for(model)

    given = run_onnx(model, images)
    with open_checkpoint(checkpoint) as infer:
        wanted = infer(images)

    assert given.shape == wanted.shape == (1, 7, 189)
    assert np.abs(given - wanted)[:, :4].max() < 1e-3
    assert np.abs(given - wanted)[:, 4:].max() < 1e-4


@pytest.mark.parametrize("family", ["yolo26n", pytest.param("yolov10n", marks=SLOW)])
def test_end_to_end_detections_are_those_of_pytorch(
    family: str, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(family)
    model = export(checkpoint, tmp_path)
    images = images_for(model)

    given = run_onnx(model, images)
    with open_checkpoint(checkpoint) as infer:
        wanted = infer(images)

    assert load_model_spec(model.path).output == "end2end"
    assert given.shape == wanted.shape == (1, 189, 6)
    assert all(
        near(row, wanted[0]) for row in given[0][:150]
    )  # the last few may lose their place to a near score


def test_the_graph_is_fixed_and_its_nodes_tell_their_module(
    checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    model = onnx.load(export(checkpoint_of("yolo11n"), tmp_path) / "model.onnx")

    onnx.checker.check_model(model, full_check=True)
    shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 17)]
    assert [one.name for one in model.graph.input] == ["images"]
    assert [one.name for one in model.graph.output] == ["output0"]
    assert shape == [1, 3, 96, 96]
    assert "/model.0/conv/Conv" in {node.name for node in model.graph.node}
    assert not {"BatchNormalization", "Shape", "Constant", "Identity"} & {
        node.op_type for node in model.graph.node
    }


def test_another_process_writes_the_same_bytes(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = checkpoint_of("yolo11n")
    code = (
        "from pathlib import Path; from stages.artifact import Artifact\n"
        "from stages.export import Export, ExportInputs; from stages.stage import no_progress\n"
        f"inputs = ExportInputs(checkpoint=Artifact.of(Path({str(checkpoint.path)!r})))\n"
        f"print(Export().run(inputs, Path({str(tmp_path / 'there')!r}), no_progress).onnx.digest)"
    )

    here = export(checkpoint, tmp_path / "here")
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert there.stdout.split() == [here.digest]


def test_model_json_tells_where_it_came_from(checkpoint_of: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = checkpoint_of("yolo11n")

    spec = load_model_spec(export(checkpoint, tmp_path, imgsz=64).path)

    assert spec.parent_digest == checkpoint.digest
    assert (spec.family, spec.class_names, spec.output) == ("yolo11n", ("hole", "scratch", "stain"), "raw")
    assert (spec.input.height, spec.input.width) == (64, 64)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [({"imgsz": 100}, "Set it to 96"), ({"opset": 9}, "17"), ({"opset": 22}, "17")],
)
def test_what_cannot_be_is_refused(
    settings: dict[str, int], hint: str, checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        export(checkpoint_of("yolo11n"), tmp_path, **settings)

    assert hint in caught.value.hint


@pytest.fixture
def custom(checkpoint_of: CheckpointOf, small_yaml: Callable[..., str], blocks: str) -> CheckpointOf:
    """Give the checkpoint of a small model with a block or a head of the user's own."""

    def make(block: str, *args: int, head: str = "Detect") -> Artifact:
        return checkpoint_of(block + head, small_yaml(block, *args, head=head), (blocks,))

    return make


def line_of(text: str) -> int:
    import shop_blocks.layers

    lines = Path(shop_blocks.layers.__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.strip().startswith(text))


@pytest.mark.parametrize(("block", "args"), [("PlainAttention", ()), ("ChannelGate", (16,))])
def test_attention_blocks_of_the_user_are_exported(
    block: str, args: tuple[int, ...], custom: CheckpointOf, tmp_path: Path
) -> None:
    checkpoint = custom(block, *args)
    model = export(checkpoint, tmp_path)
    images = images_for(model)

    with open_checkpoint(checkpoint) as infer:
        gap = np.abs(run_onnx(model, images) - infer(images))

    assert gap.max() < 1e-3


@pytest.mark.parametrize(
    ("block", "name", "reason", "line"),
    [
        ("HandWritten", "model.3 (shop_blocks.layers.HandWritten,", "operator Doubled", "class HandWritten"),
        ("Undecided", "model.3 (shop_blocks.layers.Undecided,", "to a Python boolean", "if x.mean()"),
        ("Wrapped", "model.3.inner (shop_blocks.layers.Undecided,", "to a Python boolean", "if x.mean()"),
        ("NoOperator", "model.3 (shop_blocks.layers.NoOperator,", "special_i0e", "class NoOperator"),
    ],
)
def test_a_block_that_cannot_be_exported_is_named_with_its_line(
    block: str, name: str, reason: str, line: str, custom: CheckpointOf, tmp_path: Path
) -> None:
    checkpoint = custom(block)

    with pytest.raises(ExportError) as caught:
        export(checkpoint, tmp_path)

    assert caught.value.what.startswith(name)
    assert reason in caught.value.what
    assert f"layers.py:{line_of(line)}" in caught.value.what
    assert "post-processing" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_head_that_decides_by_the_picture_is_named(custom: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = custom("nn.Identity", head="UndecidedHead")

    with pytest.raises(ExportError) as caught:
        export(checkpoint, tmp_path)

    assert caught.value.what.startswith("model.6 (shop_blocks.layers.UndecidedHead,")
    assert f"layers.py:{line_of('scale = 2.0')}" in caught.value.what


def test_a_failure_prints_nothing(
    custom: CheckpointOf, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = custom("NoOperator")

    with pytest.raises(ExportError):
        export(checkpoint, tmp_path)

    assert capfd.readouterr() == ("", "")


def test_a_subclass_that_is_fused_wrongly_is_found_by_comparing(custom: CheckpointOf, tmp_path: Path) -> None:
    checkpoint = custom("LoudConv")

    with pytest.raises(ExportError, match="does not answer as the checkpoint") as caught:
        export(checkpoint, tmp_path)

    assert "nn.Module" in caught.value.hint
