from pathlib import Path

import pytest

from pipeline.gpus.catalogue import find_gpus, gpu_names
from targets.errors import ConfigError, UsageError

OWN = """\
lab-card:
  device: The card in the lab
  usable_gib: 10
  bandwidth_gb_s: 500
  tflops: {fp16: 40, tf32: 20, fp32: 10}
  sources: {tflops: measured}
"""


@pytest.mark.parametrize("name", gpu_names())
def test_every_fact_of_every_card_has_a_source(name: str) -> None:
    card = find_gpus([name])[name]

    assert card.sources.keys() == {"usable_gib", "bandwidth_gb_s", "tflops"}
    assert all(card.sources.values())


@pytest.mark.parametrize("name", gpu_names())
def test_rates_are_in_the_order_that_hardware_has(name: str) -> None:
    rates = find_gpus([name])[name].tflops

    assert rates.fp16 > rates.fp32
    assert rates.tf32 == 0 or rates.fp16 >= rates.tf32 >= rates.fp32


def test_the_cards_that_people_ask_for_are_there() -> None:
    asked = [
        *("rtx3060", "rtx3090", "rtx4090", "rtx5090", "a6000", "l4", "l40s", "a10", "t4"),
        *("v100", "a100", "a100-40gb", "h100", "h200", "b200"),
    ]

    assert list(find_gpus(asked)) == asked


def test_case_does_not_matter() -> None:
    assert list(find_gpus(["RTX4090"])) == ["rtx4090"]


def test_an_unknown_card_is_told_its_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"no card 'rtx4080' .*near: .*rtx4090") as caught:
        find_gpus(["rtx4080"])

    assert "rtx3060, rtx3090" in caught.value.hint


def test_a_card_of_ones_own_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cards.yaml"
    file.write_text(OWN)

    found = find_gpus(["a100", str(file)])

    assert list(found) == ["a100", "lab-card"]
    assert found["lab-card"].usable_gib == 10


def test_all_that_is_wrong_with_a_card_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cards.yaml"
    file.write_text(
        OWN.replace("usable_gib: 10", "usable_gib: -1").replace("bandwidth_gb_s", "bandwith_gb_s")
    )

    with pytest.raises(ConfigError) as caught:
        find_gpus([str(file)])

    problems = caught.value.what
    assert f"{file}:3: card.usable_gib" in problems
    assert "did you mean 'bandwidth_gb_s'?" in problems


def test_a_file_without_a_card_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cards.yaml"
    file.write_text("")

    with pytest.raises(UsageError, match="names no card"):
        find_gpus([str(file)])
