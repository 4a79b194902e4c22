"""What a machine does not have is refused by `pipeline run`, with what to do, and nothing is trained."""

from pathlib import Path

import pytest
import torch
from commands import invoke

pytestmark = pytest.mark.slow  # they load torch


@pytest.mark.parametrize(
    ("settings", "what", "hint"),
    [
        pytest.param(
            ("train.device=0",), "`train.device: 0` asks for a GPU", "train.device to cpu", id="no GPU"
        ),
        pytest.param(
            ("train.device=0,1",), "`train.device: 0,1` asks for a GPU", "train.device to cpu", id="two"
        ),
        pytest.param(
            ("train.device=cpu", "train.amp=bf16"),
            "`train.amp: bf16`",
            "Set train.amp to auto",
            id="precision",
        ),
        pytest.param(("train.device=gpu",), "names no device", "Give `cpu`", id="no device at all"),
    ],
)
def test_training_that_cannot_be_is_a_usage_error(
    project: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], what: str, hint: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given = [word for one in settings for word in ("--set", one)]

    done = invoke("run", "--target", "cpu", "--until", "train", *given, "--root", project, "--json")

    assert done.code == 2
    assert what in done.document["error"]["what"]
    assert hint in done.document["error"]["hint"]
    assert done.document["training"] is None
    assert not list((project / ".edgebound").rglob("epoch-*.pt"))
