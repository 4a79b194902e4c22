"""Limits: of all targets, of one, and of what a target's profile says."""

from dataclasses import fields
from pathlib import Path

import pytest

from pipeline.config import load_config
from pipeline.limits import Gate, Limits
from targets.errors import ConfigError, UsageError
from targets.profile import Budgets

DOCS = Path(__file__).resolve().parents[2] / "docs" / "gate.md"
GATE = Gate(drift_pt=2.0, targets={"orin": {"drift_pt": 1.0}, "orin@6.2": {"size_loss_pt": 3.0}})


@pytest.mark.parametrize(
    ("target", "limits"),
    [
        ("cpu", Limits(drift_pt=2.0)),
        ("orin", Limits(drift_pt=1.0)),
        ("orin@5.1.2", Limits(drift_pt=1.0)),
        ("orin@6.2", Limits(drift_pt=2.0, size_loss_pt=3.0)),
    ],
)
def test_a_targets_own_limits_come_first_and_the_others_hold_for_all(target: str, limits: Limits) -> None:
    assert GATE.of(target) == limits


def test_a_budget_of_the_gate_takes_the_place_of_the_profiles() -> None:
    profile = Budgets(p99_ms=20.0, memory_mib=500.0)

    assert Limits().budgets(profile) == profile
    assert Limits(p99_ms=10.0).budgets(profile) == Budgets(p99_ms=10.0, memory_mib=500.0)


@pytest.mark.parametrize("limit", [one.name for one in fields(Limits)])
def test_every_limit_is_explained_with_its_default(limit: str) -> None:
    (row,) = [line for line in DOCS.read_text().splitlines() if line.startswith("|") and f"`{limit}`" in line]

    default = getattr(Limits(), limit)
    said = row.split("|")[3].strip()
    assert said == ("–" if default is None else f"{default:g}" if default is not False else "false")


def loaded(folder: Path, gate: str) -> Gate:
    text = f"model: {{weights: yolo11n.yaml}}\ndata: {{path: data.yaml}}\ngate:\n  targets:\n    {gate}\n"
    (folder / "pipeline.yaml").write_text(text)
    return load_config(None, (), demo=False, folder=folder).gate


def test_limits_of_a_target_are_read_from_the_file(tmp_path: Path) -> None:
    gate = loaded(tmp_path, "cpu: {drift_pt: 1, accept_simulated: true}")

    assert gate.of("cpu") == Limits(drift_pt=1.0, accept_simulated=True)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("cpu: {drift: 1}", "pipeline.yaml:5: unknown key 'drift'; did you mean 'drift_pt'?"),
        ("cpu: {drift_pt: -1}", "pipeline.yaml:5: drift_pt: Input should be greater than or equal to 0"),
        ("cpu: {drift_pt: much}", "pipeline.yaml:5: gate.targets.cpu.drift_pt: "),
    ],
)
def test_what_is_no_limit_is_refused_with_its_line(tmp_path: Path, gate: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        loaded(tmp_path, gate)

    assert said in error.value.what


def test_limits_of_an_unknown_target_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ornn"):
        loaded(tmp_path, "ornn: {drift_pt: 1.0}")
