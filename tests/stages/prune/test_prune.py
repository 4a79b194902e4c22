import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module, load_provenance, save_checkpoint
from stages.export import Export, ExportInputs
from stages.gmac import count_cost
from stages.prune import LayerWidth, Prune, Pruned, PruneInputs
from stages.prune.session import cut_in_steps
from stages.quantize import Quantize, QuantizeInputs
from stages.quantize.calibration import Calibrate, CalibrateInputs
from stages.stage import no_progress
from stages.train import Train, TrainInputs
from stages.train.start import load_start
from stages.widths import changed_widths
from stages.yolo import load_checkpoint
from targets.errors import ModelError, UsageError
from targets.model import InputSpec, ModelSpec, load_model_spec
from targets.profile import Dialect

pytestmark = pytest.mark.slow  # they load torch, prune and export

CheckpointOf = Callable[..., Artifact]
Drawn = tuple[Artifact, Artifact]
# The two smallest sizes of each family.
FAMILIES = [
    "yolov5n", "yolov5s", "yolov8n", "yolov8s", "yolov9t", "yolov9s", "yolov10n", "yolov10s",
    "yolo11n", "yolo11s", "yolo12n", "yolo12s", "yolo26n", "yolo26s",
]  # fmt: skip


def run(checkpoint: Artifact, drawn: Drawn, out: Path, **settings: Any) -> Pruned:
    inputs = PruneInputs(checkpoint=checkpoint, index=drawn[0], pictures=drawn[1])
    return Prune(**settings).run(inputs, out, no_progress)


def answer(module: Any, side_px: int = 96) -> torch.Tensor:
    images = torch.rand(1, 3, side_px, side_px, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return module.eval()(images)[0]


def tuned_by_one_step(pruned: Artifact, drawn: Drawn, out: Path) -> Artifact:
    stage = Train(epochs=1, imgsz=64, batch=12, device="cpu", overrides={"nbs": 12, "val": False})
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=pruned)
    out.mkdir()
    return stage.run(inputs, out, no_progress).checkpoint


def quantized(exported: Artifact, drawn: Drawn, out: Path) -> Artifact:
    (out / "calibration").mkdir(parents=True)
    seen = CalibrateInputs(onnx=exported, index=drawn[0], pictures=drawn[1])
    statistics = Calibrate().run(seen, out / "calibration", no_progress).statistics
    inputs = QuantizeInputs(
        onnx=exported,
        statistics=statistics,
        index=drawn[0],
        pictures=drawn[1],
        dialect=Dialect(symmetric=False, reduced_range=True),
        runtime="onnxruntime",
    )
    return Quantize().run(inputs, out, no_progress).onnx


def onnx_answer(folder: Artifact) -> Any:
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {"images": np.full((1, 3, 64, 64), 0.5, np.float32)})[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pruned_model_is_saved_loaded_tuned_exported_and_quantized(
    family: str, checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(family)

    pruned = run(checkpoint, drawn, tmp_path / "prune", ratio=0.3)

    after = load_module(pruned.checkpoint)
    stock, _ = load_checkpoint(str(pruned.checkpoint / "pruned.pt"))
    side_px = load_model_spec(checkpoint.path).input.width
    assert pruned.gmac_after <= 0.8 * pruned.gmac_before
    assert pruned.gmac_after == count_cost(after, side_px=side_px).gmac
    assert pruned.parameters_after < 0.8 * pruned.parameters_before
    assert pruned.widths
    assert torch.equal(answer(after), answer(stock))
    assert {type(part).__module__.partition(".")[0] for part in stock.modules()} == {"torch", "ultralytics"}

    tuned = tuned_by_one_step(pruned.checkpoint, drawn, tmp_path / "tune")

    module, (stock, _) = load_module(tuned), load_checkpoint(str(tuned / "pruned.pt"))
    assert not changed_widths(after, module)
    assert not torch.equal(answer(module), answer(after))
    assert torch.equal(answer(module), answer(stock))

    exported = Export().run(ExportInputs(checkpoint=tuned), tmp_path / "export", no_progress).onnx
    int8 = quantized(exported, drawn, tmp_path / "quantize")

    assert onnx_answer(int8).shape == onnx_answer(exported).shape
    assert np.isfinite(onnx_answer(int8)).all()


def test_the_module_that_was_cut_and_the_one_rebuilt_answer_alike(
    checkpoint_of: CheckpointOf, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of("yolo11n")
    cut = cut_in_steps(Prune(ratio=0.4, criterion="magnitude"), load_module(checkpoint), side_px=96)

    save_checkpoint(
        cut.module,
        spec=load_model_spec(checkpoint.path),
        packages=(),
        folder=tmp_path / "cut",
        provenance={"a": 1},
    )

    assert torch.equal(answer(load_module(Artifact.of(tmp_path / "cut"))), answer(cut.module))


def test_a_pruned_model_lives_on_in_ultralytics_without_us(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    pruned = run(checkpoint_of("yolo11n"), drawn, tmp_path / "prune", ratio=0.3)
    shutil.copy(pruned.checkpoint / "pruned.pt", tmp_path)
    data = tmp_path / "data.yaml"
    (tmp_path / "images").mkdir()
    for number in range(4):
        shutil.copy(drawn[1] / f"{number}.png", tmp_path / "images")
    data.write_text(f"path: {tmp_path}\ntrain: images\nval: images\nnames: [hole, scratch, stain]\n")
    code = """
import sys
from importlib.util import find_spec
from pathlib import Path
sys.path[:] = [place for place in sys.path if not (Path(place) / "stages").is_dir()]
assert find_spec("stages") is None
from ultralytics import YOLO
model = YOLO("pruned.pt")
print(model.predict("images/0.png", imgsz=64, verbose=False)[0].boxes.shape)
print(model.val(data="data.yaml", imgsz=64, plots=False, verbose=False, workers=0).box.map)
print(YOLO("pruned.pt").export(format="torchscript", imgsz=64))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        env={"YOLO_CONFIG_DIR": str(tmp_path / "settings"), "YOLO_OFFLINE": "true", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pruned.torchscript").is_file()


def test_pruning_again_gives_the_same_bytes(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    digests = {
        run(checkpoint_of("yolov8n"), drawn, tmp_path / name, ratio=0.3).checkpoint.digest for name in "ab"
    }

    assert len(digests) == 1


@pytest.mark.parametrize("family", ["yolov8n", "yolo26n"])
@pytest.mark.parametrize("criterion", ["bn_scale", "magnitude"])
def test_every_criterion_reaches_a_target_gmac(
    criterion: str, family: str, checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(family)
    target = count_cost(load_module(checkpoint), side_px=96).gmac / 2

    pruned = run(checkpoint, drawn, tmp_path, target_gmac=target, criterion=criterion)

    assert 0.9 * target < pruned.gmac_after <= target


def test_widths_are_multiples_of_what_the_target_likes(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    pruned = run(checkpoint_of("yolov8s"), drawn, tmp_path, ratio=0.4, round_to=16)

    assert pruned.widths
    assert all(width.after % 16 == 0 and width.after < width.before for width in pruned.widths)


def test_cutting_in_steps_ends_where_one_cut_does(checkpoint_of: CheckpointOf) -> None:
    module = load_module(checkpoint_of("yolov8n"))
    tuned: list[float] = []

    def tune(module: Any, step: int) -> Any:
        tuned.append(count_cost(module, side_px=96).gmac)
        return module

    stage = Prune(ratio=0.5, criterion="magnitude", scope="layer")

    once = cut_in_steps(stage, module, side_px=96)
    thrice = cut_in_steps(replace(stage, iterations=3), module, side_px=96, tune=tune)

    last = count_cost(thrice.module, side_px=96).gmac
    assert len(tuned) == 2
    assert tuned[0] > tuned[1] > last == count_cost(once.module, side_px=96).gmac


def test_where_a_pruned_model_came_from_is_told(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of("yolov8n")
    pruned = run(checkpoint, drawn, tmp_path, ratio=0.3)

    provenance = load_provenance(pruned.checkpoint)

    assert provenance is not None
    assert provenance["parent"] == load_model_spec(pruned.checkpoint.path).parent_digest == checkpoint.digest
    assert provenance["prune"]["ratio"] == 0.3
    assert load_provenance(checkpoint) is None


@pytest.mark.parametrize("settings", [{}, {"ratio": 0.3, "target_gmac": 0.1}])
def test_exactly_one_goal_is_asked_for(
    settings: dict[str, float], checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="one goal"):
        run(checkpoint_of("yolov8n"), drawn, tmp_path, **settings)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 0.0, -0.1])
def test_a_ratio_of_all_or_nothing_is_refused(
    ratio: float, checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="leaves no model"):
        run(checkpoint_of("yolov8n"), drawn, tmp_path, ratio=ratio)


def test_a_ratio_that_leaves_a_layer_without_channels_is_refused(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"leaves model\.\d+.* without channels"):
        run(checkpoint_of("yolov8n"), drawn, tmp_path, ratio=0.98, scope="layer")


def test_a_target_that_needs_no_pruning_is_refused(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no less than what the model needs unpruned"):
        run(checkpoint_of("yolov8n"), drawn, tmp_path, target_gmac=100.0)


def test_what_was_left_alone_is_told(
    checkpoint_of: CheckpointOf, small_yaml: Callable[..., str], blocks: str, drawn: Drawn, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of("plain-attention", small_yaml("PlainAttention"), (blocks,))

    pruned = run(checkpoint, drawn, tmp_path, ratio=0.5, skip_unknown=True, round_to=4)

    assert pruned.notes == ("Left as wide as they were, with all that is tied to them: model.3.",)
    assert torch.isfinite(answer(load_module(pruned.checkpoint))).all()


def test_a_pruned_checkpoint_of_another_version_is_refused(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    pruned = run(checkpoint_of("yolov8n"), drawn, tmp_path, ratio=0.3)
    file = pruned.checkpoint / "architecture.json"
    record = json.loads(file.read_text())

    for version in (0, 3, "2"):
        file.write_text(json.dumps({**record, "schema": version}))

        with pytest.raises(ModelError, match=f"format version {version}"):
            load_module(pruned.checkpoint)


def test_widths_that_no_such_model_has_are_refused(
    checkpoint_of: CheckpointOf, drawn: Drawn, tmp_path: Path
) -> None:
    pruned = run(checkpoint_of("yolov8n"), drawn, tmp_path, ratio=0.3)
    file = pruned.checkpoint / "architecture.json"
    record = json.loads(file.read_text())

    for widths in (
        {"model.99.conv": [8, 8, 1]},
        {"model.0": [8]},
        {"model.0.conv": [3]},
        {"model.0.conv": None},
    ):
        file.write_text(json.dumps({**record, "widths": widths}))

        with pytest.raises(ModelError, match="widths that its model cannot have"):
            load_module(pruned.checkpoint)


def test_pretrained_weights_with_a_wide_class_branch_are_pruned(
    test_data: Path, drawn: Drawn, tmp_path: Path
) -> None:
    weights = test_data / "weights" / "yolov8n-from-int8.pt"
    start = load_start(weights, "", class_names=("cell", "plate"), packages=())
    spec = ModelSpec(family="yolov8n", class_names=("cell", "plate"), input=InputSpec(96, 96))
    save_checkpoint(start.module, spec=spec, packages=(), folder=tmp_path / "checkpoint")

    pruned = run(Artifact.of(tmp_path / "checkpoint"), drawn, tmp_path / "prune", ratio=0.3)

    stock, _ = load_checkpoint(str(pruned.checkpoint / "pruned.pt"))
    assert pruned.gmac_after < 0.6 * pruned.gmac_before
    assert torch.equal(answer(load_module(pruned.checkpoint)), answer(stock))
    assert LayerWidth(layer="model.22.cv3.0.0.conv", before=80, after=56) in pruned.widths
