"""An earlier run as the baseline of a new one, and two runs side by side."""

import shutil
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from pipeline.baseline import EVIDENCE, load_baseline, val_digest
from pipeline.ladder import Conditions
from stages.artifact import Artifact
from stages.dataset import save_dataset
from targets.errors import EdgeboundError, UsageError
from tests.pipeline.commands import Outcome, invoke
from tests.pipeline.sample_report import sample_run, sample_target
from tests.stages.evaluation.scenes import NAMES, dataset, detections, picture

BOX = (0, 0, 8, 8)
DATA = dataset([picture([(n % 2, *BOX)], file=f"{n}.jpg") for n in range(40)])
GOOD = [[(*BOX, 0.9, n % 2)] for n in range(40)]
BLIND = [[] if n < 12 else row for n, row in enumerate(GOOD)]
HOLDS_FOR = Conditions(val=val_digest(DATA), imgsz=(128, 128), conf=0.25, iou=0.7, max_det=300)


def stored(folder: Path, found: object = GOOD, **changes: object) -> Path:
    """Write a run's folder, with what it shipped and found."""
    kept = folder / EVIDENCE / "cpu"
    kept.mkdir(parents=True)
    detections(*found).save(kept)
    (folder / EVIDENCE / "index").mkdir()
    save_dataset(DATA, folder / EVIDENCE / "index")
    target = sample_target()
    now = datetime.now(timezone.utc).isoformat()
    rungs = tuple(
        replace(
            one,
            detections=Artifact.of(kept).digest,
            measured_at=now,
            classes=tuple(replace(each, name=name) for each, name in zip(one.classes, NAMES, strict=False)),
        )
        for one in target.ladder
    )
    target = replace(target, ladder=rungs, profile={**target.profile, "budgets": {}})
    run = replace(sample_run(cpu=target), run=folder.name, conditions=HOLDS_FOR, settings={"gate": {}})
    (folder / "report.json").write_text(replace(run, **changes).to_json())
    return folder


def compare(before: Path, after: Path, *more: str) -> Outcome:
    return invoke("compare", before, after, "--json", *more)


# ------------------------------------------------------------------------------------ as a baseline


def test_a_baseline_is_what_an_earlier_run_shipped(tmp_path: Path) -> None:
    baseline = load_baseline(tmp_path, str(stored(tmp_path / "a") / "report.json"), {"cpu": None})

    assert baseline.run == "a"
    assert baseline.shipped["cpu"].rung.label == "openvino int8"
    baseline.check(HOLDS_FOR)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"val": "sha256:" + "0" * 64}, "validation data"),
        ({"imgsz": (640, 480)}, "size (128x128 in a, 640x480 in this run)"),
        ({"conf": 0.5}, "conf (0.25 in a, 0.5 in this run)"),
        ({"iou": 0.5}, "iou (0.7 in a, 0.5 in this run)"),
        ({"max_det": 100}, "max_det (300 in a, 100 in this run)"),
    ],
)
def test_runs_of_other_data_size_or_thresholds_are_not_compared(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    baseline = load_baseline(tmp_path, str(stored(tmp_path / "a")), {"cpu": None})

    with pytest.raises(UsageError) as error:
        baseline.check(replace(HOLDS_FOR, **changed))

    assert said in error.value.what


def test_all_that_differs_is_named_at_once(tmp_path: Path) -> None:
    before = stored(tmp_path / "a")
    after = stored(tmp_path / "b", conditions=replace(HOLDS_FOR, conf=0.4, max_det=10))

    outcome = compare(before, after)

    assert outcome.code == 2
    assert "conf (0.25 in a, 0.4 in b), max_det (300 in a, 10 in b)" in outcome.what


def test_the_digest_of_the_validation_data_knows_pictures_labels_and_classes_but_not_places() -> None:
    moved = replace(DATA, val=tuple(replace(one, file=f"elsewhere/{one.file}") for one in DATA.val))
    relabelled = replace(DATA, val=(picture([(1, *BOX)]), *DATA.val[1:]))

    assert val_digest(moved) == val_digest(DATA)
    assert val_digest(replace(DATA, train=DATA.val)) == val_digest(DATA)
    assert len({val_digest(one) for one in (DATA, relabelled, replace(DATA, class_names=("a", "b")))}) == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        pytest.param(lambda folder: shutil.rmtree(folder / EVIDENCE), "gone or was changed", id="gone"),
        pytest.param(
            lambda folder: (folder / EVIDENCE / "cpu" / "detections.npz").write_bytes(b"x"),
            "gone or was changed", id="changed",
        ),
    ],
)  # fmt: skip
def test_a_baseline_without_its_evidence_is_refused(tmp_path: Path, damage, said: str) -> None:
    folder = stored(tmp_path / "a")
    damage(folder)

    with pytest.raises(UsageError, match=said):
        load_baseline(tmp_path, str(folder), {"cpu": None})


def test_a_run_that_shipped_nothing_is_no_baseline(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a")

    with pytest.raises(UsageError, match="shipped nothing for orin"):
        load_baseline(tmp_path, str(folder), {"orin": None})


def test_a_run_that_does_not_say_what_it_holds_for_is_no_baseline(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a", conditions=None)

    with pytest.raises(UsageError, match="does not say what its figures hold for"):
        load_baseline(tmp_path, str(folder), {"cpu": None})


def test_a_truncated_report_is_no_baseline(tmp_path: Path) -> None:
    folder = stored(tmp_path / "a")
    text = (folder / "report.json").read_text()
    (folder / "report.json").write_text(text[:-100])

    with pytest.raises(EdgeboundError, match="cannot be read as a report"):
        load_baseline(tmp_path, str(folder), {"cpu": None})


# ------------------------------------------------------------------------------------ side by side


def test_a_run_may_take_its_own_place(tmp_path: Path) -> None:
    outcome = compare(stored(tmp_path / "a"), stored(tmp_path / "b"))

    target = outcome.document["targets"]["cpu"]
    assert (outcome.code, outcome.document["verdict"]) == (0, "pass")
    assert target["ships"] == ["openvino int8", "openvino int8"]
    assert {"mAP50-95", "drift", "p50"} <= {one["measure"] for one in target["changes"]}
    assert all(one["before"] == one["after"] for one in target["changes"])


def test_a_run_that_finds_less_is_refused_class_by_class(tmp_path: Path) -> None:
    outcome = compare(stored(tmp_path / "a"), stored(tmp_path / "b", BLIND))

    reasons = outcome.document["targets"]["cpu"]["reasons"]
    assert outcome.code == 3
    assert reasons[0].startswith("drift against a 3")
    assert any(reason.startswith("AP50 loss against a of hole") for reason in reasons)


def test_a_limit_may_be_wider(tmp_path: Path) -> None:
    wide = ("--set", "gate.baseline_drift_pt=100", "--set", "gate.class_ap50_loss_pt=100")

    assert compare(stored(tmp_path / "a"), stored(tmp_path / "b", BLIND), *wide).code == 0


def test_without_the_detections_nothing_can_be_told(tmp_path: Path) -> None:
    before, after = stored(tmp_path / "a"), stored(tmp_path / "b")
    shutil.rmtree(after / EVIDENCE)

    outcome = compare(before, after)

    assert outcome.code == 4
    assert "gone or was changed" in outcome.document["targets"]["cpu"]["reasons"][0]


def test_a_run_that_does_not_pass_itself_takes_no_place(tmp_path: Path) -> None:
    refused = replace(sample_target(), verdict="refuse", ships=None)
    after = stored(tmp_path / "b", targets={"cpu": refused})

    assert compare(stored(tmp_path / "a"), after).code == 3


def test_a_target_that_is_gone_is_not_forgotten(tmp_path: Path) -> None:
    run = sample_run()
    before = stored(tmp_path / "a", targets={"cpu": run.targets["cpu"], "orin": run.targets["cpu"]})

    outcome = compare(before, stored(tmp_path / "b"))

    assert outcome.document["targets"]["orin"]["reasons"] == ["b was not run for this target"]
    assert outcome.code == 4


def test_runs_without_a_common_target_are_not_compared(tmp_path: Path) -> None:
    after = stored(tmp_path / "b", targets={"orin": sample_target()})

    outcome = compare(stored(tmp_path / "a"), after)

    assert (outcome.code, "no target in common" in outcome.what) == (2, True)


def test_the_second_run_is_the_last_one_unless_named(tmp_path: Path) -> None:
    runs = tmp_path / ".edgebound" / "runs"
    before = stored(runs / "a")
    stored(runs / "b")

    outcome = invoke("compare", before, "--root", tmp_path, "--json")

    assert (outcome.document["before"], outcome.document["after"]) == ("a", "b")
