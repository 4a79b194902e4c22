"""An engine that a board built is released with the board's receipt, and with no other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.board import Board
from pipeline.ladder import RunReport
from pipeline.report.load import load_report
from pipeline.store import Store
from stages.artifact import Artifact
from targets.board.identity import Identity
from targets.receipt import EngineReceipt, Receipt, load_receipt, write_receipt
from tests.pipeline.release.desk import Desk, read
from tests.pipeline.release.stored_run import PROFILE, stored_run, write_engine
from tests.targets.test_receipt import RECEIPT

KIT = "c1" * 32
ORIN = replace(
    PROFILE, name="orin", runtime="openvino", module="agx-orin", jetpack="6.2", sm="8.7", local=False
)
BOARD = Board(
    simulated=False,
    facts={"board": "Jetson AGX Orin", "JetPack": "6.2", "power mode": "MAXN", "kit": KIT[:12]},
    doubts=(),
    engines=(),
)
IDENTITY = Identity(
    "Jetson AGX Orin", "agx-orin", "", 64.0, "36.4.3", "6.2", "Linux 5.15 aarch64", "3.10", "h"
)
Give = Callable[..., Path]


@pytest.fixture
def give(tmp_path: Path) -> Give:
    """Write a run whose engine was built on a board, and the receipt in the store, as far as it is given."""

    def write(*, filed: bool = True, plan: bytes = b"", **fields: object) -> Path:
        folder = stored_run(tmp_path)
        for file in (folder / "cpu").iterdir():
            file.unlink()
        (folder / "cpu").rmdir()
        engine = write_engine(folder / "cpu", profile=ORIN)
        report = load_report(folder)
        (folder / "report.json").write_text(_on_board(report, Artifact.of(engine).digest).to_json())
        at = next(one.measured_at for one in report.targets["cpu"].ladder if one.id == "openvino-int8")
        if filed:
            _file(tmp_path, plan, replace(_receipt(str(at)), **fields))
        return folder

    return write


def _on_board(report: RunReport, digest: str) -> RunReport:
    target = report.targets["cpu"]
    ladder = tuple(replace(one, digest=digest) if one.id == "openvino-int8" else one for one in target.ladder)
    profile = {**target.profile, "local": False}
    return replace(report, targets={"cpu": replace(target, ladder=ladder, board=BOARD, profile=profile)})


def _receipt(measured_at: str) -> Receipt:
    engine: EngineReceipt = replace(RECEIPT.engines[0], id="int8", precision="int8")
    return replace(RECEIPT, kit=KIT, identity=IDENTITY, engines=(engine,), measured_at=measured_at)


def _file(root: Path, plan: bytes, receipt: Receipt) -> None:
    """Keep a receipt as `pipeline.receipts.file_receipt` does."""
    folder = root / "receipt"
    engine = write_engine(folder / "engines" / "int8", profile=ORIN)
    if plan:
        (engine / "model.bin").write_bytes(plan)
    (folder / "detections").mkdir()
    (folder / "detections" / "int8.npz").write_bytes(b"npz")
    write_receipt(folder, receipt, key="5a" * 32)
    store = Store(root / ".edgebound")
    store.prepare()
    digest = Artifact.of(folder).digest
    record = {"stage": "build", "kit": KIT, "result": {"receipt": {"path": "receipt", "digest": digest}}}
    store.commit("3" * 64, record, {"receipt": folder})


def test_the_receipt_goes_along_with_the_engine(give: Give, tmp_path: Path) -> None:
    give()
    desk = Desk(tmp_path)

    done = desk.release()

    assert done.code == 0, done.said
    out = desk.find().pull(tmp_path / "out", "cpu")
    receipt = read(out / "proof" / "receipt.json")
    assert (receipt["kit"], receipt["simulated"]) == (KIT, False)
    assert set(receipt["files"]) >= {f"engines/int8/{path.name}" for path in (out / "engine").iterdir()}
    assert "Built and timed on board Jetson AGX Orin, JetPack 6.2" in (out / "MODEL_CARD.md").read_text()
    facts = desk.find().facts("cpu")
    assert (facts.module, facts.jetpack, facts.l4t, facts.sm) == ("agx-orin", "6.2", ("36.4.3",), "8.7")
    assert facts.machine == ""
    assert read(out / "proof" / "expected.json")["device"] == "Jetson AGX Orin"


def test_without_its_receipt_no_engine_of_a_board_is_released(give: Give, tmp_path: Path) -> None:
    give(filed=False)

    done = Desk(tmp_path).release()

    assert done.code == 4
    assert "receipt for cpu is gone" in done.what


def test_a_simulated_receipt_is_refused_though_the_report_does_not_say_so(give: Give, tmp_path: Path) -> None:
    give(simulated=True)

    done = Desk(tmp_path).release()

    assert done.code == 3
    assert "is simulated" in done.what


@pytest.mark.parametrize(
    "other",
    [{"measured_at": "2026-01-01T00:00:00+00:00"}, {"plan": b"other weights"}],
    ids=["time", "engine"],
)
def test_the_receipt_of_another_engine_or_measurement_is_refused(
    give: Give, tmp_path: Path, other: dict[str, object]
) -> None:
    give(**other)

    done = Desk(tmp_path).release()

    assert done.code == 4
    assert "another engine or another measurement" in done.what


def test_a_receipt_whose_files_were_changed_is_refused(give: Give, tmp_path: Path) -> None:
    give()
    store = Store(tmp_path / ".edgebound")
    entry = store.find("3" * 64)
    assert entry is not None
    given = entry.record["result"]["receipt"]
    view = store.open(entry, given["path"], given["digest"]).path
    assert load_receipt(view).kit == KIT
    file = view / "detections" / "int8.npz"
    file.chmod(0o644)
    file.write_bytes(b"other")

    assert Desk(tmp_path).release().code != 0
