"""What a user may name as weights, and what he may get wrong."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.artifact import Artifact
from stages.checkpoint import load_module
from stages.prune import Prune, PruneInputs
from stages.stage import no_progress
from stages.train import Train, TrainInputs
from stages.train.start import load_start, load_weights
from stages.weights import find_weights
from targets.errors import EdgeboundError, ModelError, UsageError

pytestmark = pytest.mark.slow  # they load torch, and train or export

CLASSES = ("hole", "scratch", "stain")


def start(path: Path, name: str = "", packages: tuple[str, ...] = ()):
    return load_start(path, name, class_names=CLASSES, packages=packages)


@pytest.mark.parametrize(
    ("name", "family"),
    [("yolo11n.yaml", "yolo11n"), ("yolo11s.yaml", "yolo11s"), ("yolov10n.yaml", "yolov10n")],
)
def test_a_description_starts_from_fresh_weights_in_the_size_of_its_name(
    name: str, family: str, tmp_path: Path
) -> None:
    made = start(find_weights(name, tmp_path, tmp_path).path, name)

    assert (made.family, made.names) == (family, ())
    assert made.module.model[-1].nc == 3
    assert made.module.names == dict(enumerate(CLASSES))
    assert made.note == f"{name} starts from fresh weights."


def test_a_name_without_size_takes_the_first_and_says_so(tmp_path: Path) -> None:
    made = start(find_weights("yolo26.yaml", tmp_path, tmp_path).path, "yolo26.yaml")

    assert made.family == "yolo26n"
    assert "at size n" in made.note


def test_pretrained_weights_keep_all_but_the_classes(test_data: Path) -> None:
    made = start(test_data / "weights" / "yolov8n-from-int8.pt")

    assert made.family == "yolov8n"
    assert len(made.names) == 80
    assert made.note == "349 of 355 tensors were taken over from yolov8n-from-int8.pt."


def test_weights_that_we_wrote_are_taken_whole(checkpoint_of: Callable[..., Artifact]) -> None:
    made = start(checkpoint_of("yolo26n") / "best.pt")

    assert (made.family, made.names) == ("yolo26n", CLASSES)
    assert made.module.end2end
    assert made.note.split()[0] == made.note.split()[2]


def test_weights_with_modules_of_the_user_need_their_package_named(
    checkpoint_of: Callable[..., Artifact], small_yaml: Callable[..., str], blocks: str
) -> None:
    path = checkpoint_of("ChannelGate", small_yaml("ChannelGate", 16), (blocks,)) / "best.pt"
    code = (
        "from pathlib import Path; from stages.train.start import load_weights\n"
        "from targets.errors import ModelError\n"
        f"try: load_weights(Path({str(path)!r}))\n"
        "except ModelError as exc: print(exc.what, exc.hint, sep='|')"
    )

    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    named = start(path, packages=(blocks,))

    assert "needs shop_blocks.layers.ChannelGate, which is not among the known classes" in alone.stdout
    assert "model.modules: [shop_blocks]" in alone.stdout
    assert type(named.module.model[3]).__name__ == "ChannelGate"


class TestBadFiles:
    def test_truncated(self, test_data: Path) -> None:
        with pytest.raises(ModelError, match="is truncated") as caught:
            load_weights(test_data / "weights" / "broken" / "yolov8n_truncated.pt")

        assert "again" in caught.value.hint

    @pytest.mark.parametrize("content", [b"", b"epochs: 3\n", b"\x89PNG\r\n\x1a\n" * 100])
    def test_something_else_with_the_name_of_a_checkpoint(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "weights.pt").write_bytes(content)

        with pytest.raises(ModelError, match="was never a PyTorch checkpoint"):
            load_weights(tmp_path / "weights.pt")

    @pytest.mark.parametrize(
        "content",
        [
            [1, 2],
            {"a": torch.zeros(3)},
            {"model": {"layer.weight": torch.zeros(3)}},
            {"model": torch.nn.Linear(2, 2)},
        ],
        ids=["list", "tensors", "state dict", "another model"],
    )
    def test_a_torch_file_without_a_detector(self, content: object, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "weights.pt")

        with pytest.raises(ModelError, match=r"without a YOLO model|is no YOLO detector") as caught:
            load_weights(tmp_path / "weights.pt")

        assert "\n" not in caught.value.what

    def test_a_segmentation_model(self, tmp_path: Path) -> None:
        code = (
            "import torch, stages.yolo; from ultralytics.nn.tasks import SegmentationModel\n"
            "model = SegmentationModel('yolo11n-seg.yaml', nc=3, verbose=False)\n"
            f"torch.save({{'model': model}}, {str(tmp_path / 'segment.pt')!r})"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

        with pytest.raises(ModelError, match="is no YOLO detector: it is a SegmentationModel"):
            load_weights(tmp_path / "segment.pt")

    def test_a_class_that_is_not_installed_is_named_and_not_installed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere.py").write_text("import torch\nclass Gate(torch.nn.Module): ...\n")
        code = (
            f"import torch, elsewhere; torch.save({{'model': elsewhere.Gate()}}, {str(tmp_path / 'g.pt')!r})"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)

        with pytest.raises(ModelError, match=r"needs elsewhere\.Gate, which is not among") as caught:
            load_weights(tmp_path / "g.pt")

        assert "model.modules: [elsewhere]" in caught.value.hint

    def test_a_pickle_that_would_run_code_does_not(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[object, ...]:
                return Path.touch, (tmp_path / "flag",)

        torch.save({"model": Trap()}, tmp_path / "trap.pt")

        with pytest.raises(ModelError):
            load_weights(tmp_path / "trap.pt")

        assert not (tmp_path / "flag").exists()

    def test_a_class_that_ultralytics_dropped(self, tmp_path: Path) -> None:
        code = (
            "import torch, stages.yolo, ultralytics.nn.modules.block as block\n"
            "block.Gone = type('Gone', (torch.nn.Module,), {'__module__': block.__name__})\n"
            f"torch.save({{'model': block.Gone()}}, {str(tmp_path / 'g.pt')!r})"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

        with pytest.raises(ModelError, match=r"needs ultralytics\.nn\.modules\.block\.Gone"):
            load_weights(tmp_path / "g.pt")

    def test_weights_whose_layers_were_cut(
        self, checkpoint_of: Callable[..., Artifact], tmp_path: Path
    ) -> None:
        saved = torch.load(checkpoint_of("yolo11n") / "best.pt", weights_only=False)
        saved["model"].model[0].conv = torch.nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        torch.save(saved, tmp_path / "cut.pt")

        with pytest.raises(ModelError, match=r"from model\.0\.conv\.weight on"):
            start(tmp_path / "cut.pt")


@pytest.fixture(scope="module")
def pruned_pt(
    checkpoint_of: Callable[..., Artifact],
    drawn: tuple[Artifact, Artifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    inputs = PruneInputs(checkpoint=checkpoint_of("yolov8n"), index=drawn[0], pictures=drawn[1])
    pruned = Prune(ratio=0.3).run(inputs, tmp_path_factory.mktemp("pruned"), no_progress)
    return pruned.checkpoint / "pruned.pt"


def test_a_pruned_pt_goes_on_in_its_own_widths(
    pruned_pt: Path, drawn: tuple[Artifact, Artifact], tmp_path: Path
) -> None:
    inputs = TrainInputs(index=drawn[0], pictures=drawn[1], weights=Artifact.of(pruned_pt))

    kept = Train(epochs=0, imgsz=64, weights="pruned.pt").run(inputs, tmp_path, no_progress)

    before = load_module(Artifact.of(pruned_pt.parent)).state_dict()
    after = load_module(kept.checkpoint).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert kept.notes[0] == "All weights of pruned.pt were taken over, in its own widths."
    assert (kept.checkpoint / "pruned.pt").is_file()


def test_a_pruned_pt_for_other_classes_is_refused(pruned_pt: Path) -> None:
    with pytest.raises(UsageError, match="is pruned, and knows 3 classes; the data set has 2") as caught:
        load_start(pruned_pt, "pruned.pt", class_names=("cat", "dog"), packages=())

    assert "let `prune` cut them" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("names: [a, b]\ntrain: images\n", "has no backbone and no head"),
        ("backbone: []\nhead: []\n", "has no layers in its head"),
        ("just words", "is no model description"),
        ("a: [1, 2\n", "is not YAML"),
        (
            "backbone:\n  - [-1, 1, Conv, [8, 3, 2]]\nhead:\n  - [[0, 9], 1, Detect, [nc]]\n",
            "cannot be built",
        ),
    ],
)
def test_a_yaml_that_describes_no_model_is_refused(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(text)

    with pytest.raises(UsageError, match=what):
        start(tmp_path / "model.yaml", "model.yaml")


def test_a_size_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yolo11.yaml").write_text(
        "scales: {n: [1, 1, 64]}\nbackbone: []\nhead: [[-1, 1, Detect, [nc]]]\n"
    )

    with pytest.raises(UsageError, match="has no size x") as caught:
        start(tmp_path / "yolo11.yaml", "yolo11x.yaml")

    assert caught.value.hint.startswith("Its sizes: n")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")

    with pytest.raises(EdgeboundError, match="neither a checkpoint nor a model description"):
        start(tmp_path / "model.onnx", "model.onnx")
