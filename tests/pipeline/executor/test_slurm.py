"""What Slurm refuses, in our words."""

from collections.abc import Callable

import pytest

from pipeline.executor.follow import Watched
from pipeline.executor.slurm import UnansweredError, check_slurm, find_jobs
from targets.errors import EdgeboundError, UsageError
from tests.slurm_fixture.slurm import Slurm

Submit = Callable[..., Watched]


@pytest.mark.parametrize(
    ("wanted", "meaning"),
    [
        pytest.param({"partition": "nix"}, "There is no such partition", id="partition"),
        pytest.param({"gpus": 9}, "No node of the partition has so much", id="GPUs"),
        pytest.param({"memory_gib": 999}, "No node of the partition has so much", id="memory"),
        pytest.param({"constraint": "nix"}, "No node has these features", id="feature"),
        pytest.param({"options": ("--nix",)}, "unrecognized option", id="option"),
    ],
)
@pytest.mark.slow
def test_what_slurm_will_never_grant_is_a_wrong_configuration(
    submitted: Submit, wanted: dict[str, object], meaning: str
) -> None:
    with pytest.raises(UsageError) as raised:
        submitted("pass", **wanted)

    assert meaning in raised.value.what
    assert "urgent" in raised.value.hint  # the partitions that there are


def test_without_slurm_the_option_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="there is no sbatch and no squeue and no scontrol on this machine"):
        check_slurm()


@pytest.mark.slow
def test_a_controller_that_is_gone_is_told_as_one(
    slurm: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    conf = slurm.conf.read_text().splitlines()
    other = [line if not line.startswith("SlurmctldPort") else "SlurmctldPort=1" for line in conf]
    (tmp_path / "slurm.conf").write_text("\n".join([*other, "MessageTimeout=2"]))
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))

    with pytest.raises(UnansweredError, match="Slurm does not answer") as raised:
        find_jobs(["anything"])

    assert isinstance(raised.value, EdgeboundError)
    assert "same command takes them up again" in raised.value.hint
