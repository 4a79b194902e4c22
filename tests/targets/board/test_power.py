import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.board.power import find_rails, read_watts, sampling, summarize
from tests.targets.board.trees import (
    AGX_ORIN_JETPACK5,
    JETSONS,
    ORIN_NANO_JETPACK6,
    X86_CPU,
    Tree,
    monitor,
    write_tree,
)

VDD_IN = "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/curr1_input"


def test_what_goes_into_the_module_counts_alone_where_it_is_measured(tmp_path: Path) -> None:
    rails = find_rails(write_tree(tmp_path, ORIN_NANO_JETPACK6))

    assert [rail.name for rail in rails] == ["VDD_IN"]
    assert read_watts(rails) == 5.0


def test_all_rails_are_summed_where_there_is_no_total(tmp_path: Path) -> None:
    rails = find_rails(write_tree(tmp_path, AGX_ORIN_JETPACK5))

    assert [rail.name for rail in rails] == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]
    assert read_watts(rails) == pytest.approx(19 * 0.2 + 19 * 0.1 + 5 * 0.9 + 5 * 0.1)


@pytest.mark.parametrize("tree", JETSONS.values(), ids=JETSONS)
def test_every_jetson_has_power_monitors(tree: Tree, tmp_path: Path) -> None:
    watts = read_watts(find_rails(write_tree(tmp_path, tree)))

    assert watts is not None
    assert watts > 1


def test_monitors_are_found_whatever_number_the_kernel_gave_them(tmp_path: Path) -> None:
    rails = (("VDD_IN", 5000, 2000),)

    one = find_rails(write_tree(tmp_path / "one", monitor("1-0040", 0, *rails)))
    other = find_rails(write_tree(tmp_path / "other", monitor("1-0040", 11, *rails)))

    assert read_watts(one) == read_watts(other) == 10


def test_a_rail_that_cannot_be_read_makes_no_smaller_sum(tmp_path: Path) -> None:
    rails = find_rails(write_tree(tmp_path, AGX_ORIN_JETPACK5))
    rails[1].current.unlink()

    assert read_watts(rails) is None


@settings(deadline=None)
@given(text=st.text(alphabet=st.characters(codec="utf-8")))
def test_any_reading_gives_watts_or_nothing(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = write_tree(tmp_path_factory.mktemp("root"), monitor("1-0040", 1, ("VDD_IN", 5000, 1000)))
    (root / VDD_IN).write_text(text, encoding="utf-8")

    watts = read_watts(find_rails(root))

    assert watts is None or isinstance(watts, float)


def test_a_unit_after_a_figure_is_taken_for_what_it_is(tmp_path: Path) -> None:
    write_tree(tmp_path, {**ORIN_NANO_JETPACK6, VDD_IN: "1500 mA\n"})

    assert read_watts(find_rails(tmp_path)) == 7.5


def test_power_is_sampled_ten_times_a_second(
    tmp_path: Path, wait_for: Callable[[Callable[[], object]], None]
) -> None:
    root = write_tree(tmp_path, ORIN_NANO_JETPACK6)

    begin = time.monotonic()
    with sampling(root) as samples:
        wait_for(lambda: len(samples) == 4)
    seconds = time.monotonic() - begin

    assert set(samples) == {5.0}
    assert 0.29 < seconds < 1.5


def test_sampling_ends_with_its_block_even_if_that_fails(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ORIN_NANO_JETPACK6)

    with pytest.raises(RuntimeError, match="it broke"), sampling(root, rate_hz=100) as samples:
        raise RuntimeError("it broke")
    count = len(samples)
    time.sleep(0.05)

    assert len(samples) == count


def test_without_monitors_there_are_no_samples_and_no_summary(tmp_path: Path) -> None:
    root = write_tree(tmp_path, X86_CPU)

    with sampling(root) as samples:
        pass

    assert samples == []
    assert summarize(samples, samples, root=root, seconds_per_call=0.01) is None


def test_energy_is_what_an_inference_takes_beyond_idling(tmp_path: Path) -> None:
    root = write_tree(tmp_path, ORIN_NANO_JETPACK6)

    power = summarize([5.0, 5.2], [15.0, 15.2, 15.1], root=root, seconds_per_call=0.004)

    assert power is not None
    assert (power.rails, power.idle_w, power.loaded_w, power.samples) == (("VDD_IN",), 5.1, 15.1, 3)
    assert power.energy_mj == pytest.approx(40)


@pytest.mark.parametrize(("loaded", "seconds"), [([4.9], 0.004), ([15.0], None)])
def test_energy_that_cannot_be_told_is_none(
    loaded: list[float], seconds: float | None, tmp_path: Path
) -> None:
    power = summarize([5.0], loaded, root=tmp_path, seconds_per_call=seconds)

    assert power is not None
    assert power.energy_mj is None
