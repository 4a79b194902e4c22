"""`pipeline plan --gpu`, as people call it."""

from pathlib import Path

import pytest
from commands import invoke

from pipeline.gpus.catalogue import gpu_names


def test_the_list_has_every_card_with_its_sources() -> None:
    done = invoke("plan", "--gpu", "list", "--json")

    assert done.code == 0
    assert list(done.document) == gpu_names()
    assert all(card["sources"] for card in done.document.values())
    assert "NVIDIA H200" in done.said


def test_a_card_that_nobody_knows_is_refused_before_anything_is_done(project: Path) -> None:
    done = invoke("plan", "--gpu", "a1000", "--root", project, "--json")

    assert done.code == 2
    assert done.what.startswith("There is no card 'a1000' in the catalogue; near: a100")
    assert not list((project / ".edgebound").glob("blobs/sha256/*"))


@pytest.mark.parametrize("option", ["--rate", "--price"])
def test_a_figure_without_a_card_is_refused(option: str, project: Path) -> None:
    done = invoke("plan", option, "2", "--root", project, "--json")

    assert done.code == 2
    assert done.hint == "Add --gpu, as --gpu a100."


@pytest.mark.slow
def test_a_training_is_placed_on_cards(project: Path) -> None:
    cards = ("--gpu", "t4", "--gpu", "a100", "--price", "a100=2", "--rate", "a100=100")

    done = invoke("plan", *cards, "--root", project, "--json")
    found = done.document
    t4, a100 = found["cards"]

    assert done.code == 0
    assert (found["model"], found["imgsz"], found["pictures"]) == ("yolo11n.yaml", 64, 12)
    assert found["footprint"]["weights"] == 4 * found["footprint"]["parameters"]
    assert (t4["fit"], t4["rate"], t4["usd"]) == ("yes", "predicted", None)
    assert (a100["rate"], a100["rate_img_s"]) == ("stated", 100)
    assert a100["usd"] == pytest.approx(2 * a100["total_h"])
    assert "~" in done.said
    again = invoke("plan", "--gpu", "h100", "--root", project, "--json")
    assert "memory: done" not in again.said  # it was counted already
    assert again.document["footprint"] == found["footprint"]
