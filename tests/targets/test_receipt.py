"""A receipt is accepted if nobody changed it, it answers to the kit, and its figures follow from samples."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from targets.board.identity import Identity
from targets.board.state import BoardState, Doubt
from targets.engine import write_manifest
from targets.errors import EvidenceError, ModelError
from targets.kit import BoardWork, Kit, KitModel
from targets.latency import Timing, describe
from targets.profile import TargetProfile
from targets.receipt import (
    BuildFacts,
    EngineReceipt,
    Receipt,
    claimed_kit,
    load_receipt,
    open_receipt,
    write_receipt,
)

KEY = "5a" * 32
PROFILE = TargetProfile(name="orin", device="Jetson", runtime="tensorrt")
KIT = Kit(
    target="orin",
    profile=PROFILE,
    models=(KitModel("fp16", "fp16"), KitModel("int8", "int8")),
    pictures=("a.jpg",),
    work=BoardWork(),
    agent="agent",
    files={},
)
TIMING = Timing("call", True, False, 1, 1, 400.0, describe([2.0, 2.5, 3.0]))
RECEIPT = Receipt(
    kit="kit",
    agent="agent",
    simulated=False,
    identity=Identity("Jetson", "agx-orin", "", 64.0, "36.4.3", "6.2", "Linux", "3.10.12", "host"),
    runtime_version="10.3.0",
    facts={"sm": "8.7"},
    engines=(
        EngineReceipt(
            id="fp16", precision="fp16", build=BuildFacts(seconds=(9.0,)), timings=(TIMING,), startup_s=0.5
        ),
        EngineReceipt(id="int8", precision="int8", failed="No kernel. Update.", unsupported=True),
    ),
    before=BoardState(at="2026-01-01T00:00:00+00:00"),
    after=BoardState(at="2026-01-01T00:01:00+00:00", temperatures_c={"gpu": 50.5}),
    doubts=(Doubt("15W, not MAXN", "sudo nvpmodel -m 0"),),
    measured_at="2026-01-01T00:01:00+00:00",
    seconds=100.0,
    files={},
)
Give = Callable[..., Path]


@pytest.fixture
def give(tmp_path: Path) -> Give:
    """Write a receipt with some fields of its own."""

    def write(**fields: object) -> Path:
        engine = tmp_path / "engines" / "fp16"
        engine.mkdir(parents=True)
        (engine / "model.json").write_text("{}")
        (engine / "engine.plan").write_bytes(b"plan")
        write_manifest(engine, profile=PROFILE, precision="fp16", runtime_version="10.3.0")
        (tmp_path / "detections").mkdir()
        (tmp_path / "detections" / "fp16.npz").write_bytes(b"npz")
        write_receipt(tmp_path, replace(RECEIPT, **fields), key=KEY)
        return tmp_path

    return write


def accept(folder: Path, *, kit: Kit = KIT, kit_id: str = "kit", key: str = KEY) -> Receipt:
    return open_receipt(folder, kit=kit, kit_id=kit_id, key=key)


def edit(folder: Path, **fields: object) -> None:
    path = folder / "receipt.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def engine_with(timing: Timing) -> dict[str, object]:
    return {"engines": (replace(RECEIPT.engines[0], timings=(timing,)), RECEIPT.engines[1])}


def test_a_receipt_says_what_the_agent_wrote(give: Give) -> None:
    receipt = accept(give())

    assert replace(receipt, files={}) == RECEIPT
    assert set(receipt.files) == {
        "detections/fp16.npz",
        "engines/fp16/engine.plan",
        "engines/fp16/manifest.json",
        "engines/fp16/model.json",
    }


def test_a_receipt_that_was_edited_by_hand_is_refused(give: Give) -> None:
    folder = give()
    edit(folder, simulated=True)

    with pytest.raises(EvidenceError, match="seal"):
        accept(folder)


def test_a_receipt_of_another_project_is_refused(give: Give) -> None:
    with pytest.raises(EvidenceError, match="seal"):
        accept(give(), key="00" * 32)


def test_a_receipt_without_its_seal_is_refused(give: Give) -> None:
    folder = give()
    (folder / "receipt.seal").unlink()

    with pytest.raises(EvidenceError, match="cannot be read"):
        accept(folder)


@pytest.mark.parametrize("seal", [b"", b"\xff\xfe", "ä".encode()])
def test_a_broken_seal_is_refused(give: Give, seal: bytes) -> None:
    folder = give()
    (folder / "receipt.seal").write_bytes(seal)

    with pytest.raises(EvidenceError):
        accept(folder)


def test_a_receipt_for_another_kit_is_refused(give: Give) -> None:
    with pytest.raises(EvidenceError, match="answers to kit kit, not to other"):
        accept(give(), kit_id="other")


def test_a_receipt_of_another_agent_is_refused(give: Give) -> None:
    with pytest.raises(EvidenceError, match="agent"):
        accept(give(agent="older"))


def test_a_receipt_about_other_engines_is_refused(give: Give) -> None:
    with pytest.raises(EvidenceError, match="other engines"):
        accept(give(), kit=replace(KIT, models=KIT.models[::-1]))


def test_a_receipt_from_the_future_is_refused(give: Give) -> None:
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)

    with pytest.raises(EvidenceError, match="yet to come") as refused:
        accept(give(measured_at=tomorrow.isoformat()))
    assert "clock" in refused.value.hint


@pytest.mark.parametrize("name", ["engines/fp16/engine.plan", "detections/fp16.npz"])
def test_a_changed_file_is_refused(give: Give, name: str) -> None:
    folder = give()
    (folder / name).write_bytes(b"xxx")

    with pytest.raises(ModelError, match=name):
        accept(folder)


def test_a_stranger_is_refused(give: Give) -> None:
    folder = give()
    (folder / "engines" / "more").write_text("")

    with pytest.raises(ModelError, match="engines/more"):
        load_receipt(folder)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"measured_at": "yesterday"}, "no time of a measurement"),
        ({"measured_at": "2026-01-01T00:00:00"}, "without a zone"),
        ({"engines": (RECEIPT.engines[1], RECEIPT.engines[1])}, "twice"),
        ({"engines": (replace(RECEIPT.engines[0], failed="x"),)}, "failed, and yet has figures"),
        ({"engines": (replace(RECEIPT.engines[0], timings=()),)}, "neither failed nor been built and timed"),
        ({"engines": (replace(RECEIPT.engines[0], id="fp32"),)}, "lacks engines/fp32/manifest.json"),
        (engine_with(replace(TIMING, latency=replace(TIMING.latency, p99=2.5))), "do not follow"),
        (engine_with(replace(TIMING, latency=replace(TIMING.latency, mean=2.4))), "do not follow"),
        (engine_with(replace(TIMING, latency=replace(TIMING.latency, n=4))), "do not follow"),
        (engine_with(replace(TIMING, latency=replace(TIMING.latency, samples=()))), "do not follow"),
        (engine_with(replace(TIMING, latency=describe([-1.0, 2.0]))), "do not follow"),
    ],
)
def test_a_receipt_that_contradicts_itself_is_refused(
    give: Give, fields: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        load_receipt(give(**fields))


def test_the_last_digit_of_a_deviation_may_be_rounded_otherwise(give: Give) -> None:
    rounded = replace(TIMING.latency, cov=TIMING.latency.cov * (1 + 1e-15))

    assert load_receipt(give(**engine_with(replace(TIMING, latency=rounded)))).kit == "kit"


def test_nan_is_refused(give: Give) -> None:
    folder = give()
    edit(folder, seconds=float("nan"))

    with pytest.raises(ModelError, match="not a finite figure"):
        load_receipt(folder)


@pytest.mark.parametrize(("schema", "hint"), [(0, "new kit"), (2, "Update edgebound")])
def test_another_format_version_is_told_from_a_broken_receipt(give: Give, schema: int, hint: str) -> None:
    folder = give()
    edit(folder, schema=schema, strange=1)

    with pytest.raises(ModelError, match="format version") as refused:
        load_receipt(folder)
    assert hint in refused.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000])
def test_what_is_no_receipt_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "receipt.json").write_text(text)

    with pytest.raises(ModelError, match="cannot be read as a receipt"):
        claimed_kit(tmp_path)
    with pytest.raises(ModelError, match="cannot be read as a receipt"):
        load_receipt(tmp_path)


def test_a_receipt_names_its_kit_before_it_is_trusted(give: Give) -> None:
    folder = give()
    (folder / "receipt.seal").unlink()

    assert claimed_kit(folder) == "kit"
