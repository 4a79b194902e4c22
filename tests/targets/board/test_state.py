from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from targets.board.clocks import Clock
from targets.board.state import BoardState, Doubt, doubts, read_state
from targets.record import dump, load
from tests.targets.board.trees import (
    AGX_ORIN_JETPACK5,
    AGX_ORIN_JETPACK7,
    JETSONS,
    ORIN_NANO_JETPACK6,
    THOR_JETPACK7,
    X86_CPU,
    X86_GPU,
    Tree,
    nvidia_smi,
    nvpmodel,
    write_tree,
)

GPU = "sys/class/devfreq/17000000.ga10b"


@pytest.fixture
def good(tmp_path: Path) -> BoardState:
    return read_state(write_tree(tmp_path / "good", AGX_ORIN_JETPACK5))


def test_all_of_a_jetson_s_state_is_read(good: BoardState) -> None:
    assert good.jetson
    assert (good.power_mode, good.power_mode_id) == ("MAXN", 0)
    assert good.power_modes == {"MAXN": 0, "MODE_15W": 1, "MODE_30W": 2, "MODE_50W": 3}
    assert good.clocks == {
        "gpu": Clock(1300500000, 1300500000, 1300500000, "nvhost_podgov"),
        "emc": Clock(3199000000, 204000000, 3199000000, ""),
        "cpu0": Clock(2201600000, 2201600000, 2201600000, "schedutil"),
    }
    assert good.temperatures_c == {"CPU-therm": 47.5, "GPU-therm": 44, "tj-therm": 47.5}
    assert good.limits_c["tj-therm"] == 99
    assert good.throttling == ()
    assert good.throttle_events == {"over-current oc1": 0, "over-current oc2": 0, "over-current oc3": 0}
    assert (good.fan_percent, good.free_mib, good.gpu_load_percent) == (100, 58593.8, 0)
    assert not good.desktop


@pytest.mark.parametrize(
    ("tree", "mode", "gpu_mhz", "domains"),
    [
        (ORIN_NANO_JETPACK6, "MAXN_SUPER", 1020, {"gpu", "cpu0"}),
        (THOR_JETPACK7, "MAXN", 1575, {"gpu", "emc", "cpu0"}),
        (AGX_ORIN_JETPACK7, "MAXN", 1300.5, {"gpu", "emc", "cpu0"}),
    ],
)
def test_each_release_s_layout_is_read(
    tree: Tree, mode: str, gpu_mhz: float, domains: set[str], tmp_path: Path
) -> None:
    state = read_state(write_tree(tmp_path, tree))

    assert state.power_mode == mode
    assert set(state.clocks) == domains
    assert state.clocks["gpu"].current == gpu_mhz * 1e6
    assert state.fan_percent is not None


@pytest.mark.parametrize("tree", JETSONS.values(), ids=JETSONS)
def test_a_jetson_in_its_fastest_mode_with_locked_clocks_is_beyond_doubt(tree: Tree, tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, tree))

    assert doubts(state, state) == ()


def test_a_state_survives_the_way_to_the_host(good: BoardState) -> None:
    assert load(BoardState, dump(good)) == good


def doubts_about(tmp_path: Path, tree: Tree, **gpu: str) -> tuple[Doubt, ...]:
    """Give the doubts about a board, of whose GPU's files some are other ones."""
    state = read_state(
        write_tree(tmp_path, {**tree, **{f"{GPU}/{name}": text for name, text in gpu.items()}})
    )
    return doubts(state, state)


def test_a_slower_power_mode_is_a_doubt_with_the_command(tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, {**AGX_ORIN_JETPACK5, **nvpmodel("MODE_30W", 2)}))

    assert doubts(state, state) == (Doubt("the power mode is MODE_30W, not MAXN", "sudo nvpmodel -m 0"),)


def test_the_target_s_power_mode_counts_where_it_names_one(tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, {**AGX_ORIN_JETPACK5, **nvpmodel("MODE_30W", 2)}))

    assert doubts(state, state, fastest_mode="30W") == ()
    assert doubts(state, state, fastest_mode="50W") == (
        Doubt("the power mode is MODE_30W, not 50W", "sudo nvpmodel -m 3"),
    )


def test_a_mode_that_the_board_lacks_says_so(good: BoardState) -> None:
    (doubt,) = doubts(good, good, fastest_mode="MAXN_SUPER")

    assert "has not been flashed with" in doubt.reason
    assert doubt.command == ""


def test_a_mode_that_changes_meanwhile_is_a_doubt(good: BoardState) -> None:
    (doubt,) = doubts(good, replace(good, power_mode="MODE_15W"))

    assert doubt.reason == "the power mode changed from MAXN to MODE_15W"


def test_without_nvpmodel_the_power_mode_is_a_doubt(tmp_path: Path) -> None:
    tree = {name: text for name, text in AGX_ORIN_JETPACK5.items() if "nvpmodel" not in name}

    assert doubts_about(tmp_path, tree) == (Doubt("the power mode cannot be read", "sudo nvpmodel -q"),)


def test_clocks_that_may_fall_are_a_doubt(tmp_path: Path) -> None:
    cpu = {"sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "115200\n"}

    found = doubts_about(tmp_path, {**AGX_ORIN_JETPACK5, **cpu}, min_freq="306000000\n")

    assert found == (
        Doubt("clocks are not locked (cpu0 115 to 2202, gpu 306 to 1300 MHz)", "sudo jetson_clocks"),
    )


def test_a_locked_clock_below_its_maximum_is_a_doubt(good: BoardState) -> None:
    slow = replace(good.clocks["gpu"], current=918000000)

    (doubt,) = doubts(good, replace(good, clocks={**good.clocks, "gpu": slow}))

    assert doubt == Doubt("the gpu clock was 918 of 1300 MHz after it", "sudo jetson_clocks")


def test_memory_below_its_full_clock_is_a_doubt(tmp_path: Path) -> None:
    slow = {"sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n"}

    found = doubts_about(tmp_path, {**AGX_ORIN_JETPACK5, **slow})

    assert [one.command for one in found] == ["sudo jetson_clocks"] * 2


def test_the_power_mode_s_cap_of_the_memory_clock_counts(tmp_path: Path) -> None:
    capped = {
        "sys/kernel/debug/bpmp/debug/clk/emc/rate": "2133000000\n",
        "sys/kernel/nvpmodel_emc_cap/emc_iso_cap": "2133000000\n",
    }

    assert doubts_about(tmp_path, {**AGX_ORIN_JETPACK5, **capped}) == ()


def test_a_limit_that_changes_meanwhile_is_a_doubt(good: BoardState) -> None:
    low = Clock(624000000, 624000000, 624000000, "nvhost_podgov")

    (doubt,) = doubts(good, replace(good, clocks={**good.clocks, "gpu": low}))

    assert doubt.reason == "the limit of the gpu clock changed from 1300 to 624 MHz"


@pytest.mark.parametrize("text", ["", "fast\n", "-1\n", "9" * 40, "\0\0"])
def test_a_gpu_clock_that_cannot_be_read_is_a_doubt(text: str, tmp_path: Path) -> None:
    found = doubts_about(tmp_path, AGX_ORIN_JETPACK5, cur_freq=text)

    assert [one.reason for one in found] == ["the clock of the GPU cannot be read"]


def test_memory_clocks_that_only_root_may_read_are_no_doubt(
    tmp_path: Path, deny: Callable[[Path], None]
) -> None:
    write_tree(tmp_path, AGX_ORIN_JETPACK5)
    deny(tmp_path / "sys/kernel/debug/bpmp/debug/clk/emc/rate")

    state = read_state(tmp_path)

    assert "emc" not in state.clocks
    assert doubts(state, state) == ()


def test_a_cooling_device_at_work_is_throttling_and_a_fan_is_not(tmp_path: Path) -> None:
    tree = {**ORIN_NANO_JETPACK6, "sys/class/thermal/cooling_device2/cur_state": "4\n"}

    (doubt,) = doubts_about(tmp_path, tree)

    assert doubt.reason == "the board throttles (devfreq-17000000.gpu is at 4)"


def test_over_current_meanwhile_is_a_doubt_and_before_is_not(good: BoardState) -> None:
    before = replace(good, throttle_events={"over-current oc3": 7})

    assert doubts(before, before) == ()
    (doubt,) = doubts(before, replace(good, throttle_events={"over-current oc3": 9}))
    assert doubt.reason == "the board was throttled 2 times for over-current oc3"


def test_a_temperature_near_its_limit_is_a_doubt(good: BoardState) -> None:
    hot = replace(good, temperatures_c={**good.temperatures_c, "tj-therm": 96})

    (doubt,) = doubts(good, hot)

    assert doubt.reason == "tj-therm is at 96 °C, and throttled from 99 °C on"


def test_temperatures_that_cannot_be_read_are_a_doubt(good: BoardState) -> None:
    (doubt,) = doubts(good, replace(good, temperatures_c={}))

    assert doubt.reason == "temperatures cannot be read"


def test_a_gpu_that_is_busy_before_is_a_doubt_and_after_is_not(good: BoardState) -> None:
    busy = replace(good, gpu_load_percent=57.3)

    assert [one.reason for one in doubts(busy, good)] == ["the GPU was 57 % busy before it began"]
    assert doubts(good, busy) == ()


def test_a_desktop_is_a_doubt(tmp_path: Path) -> None:
    (doubt,) = doubts_about(tmp_path, {**AGX_ORIN_JETPACK5, "proc/1234/comm": "gnome-shell\n"})

    assert doubt.command == "sudo systemctl isolate multi-user.target"


def test_an_idle_server_is_beyond_doubt(tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, X86_CPU))

    assert not state.jetson
    assert state.clocks == {"cpu0": Clock(3700000000, 3700000000, 3700000000, "performance")}
    assert state.throttle_events == {"heat of the CPU": 3}
    assert doubts(state, state) == ()


def test_a_graphics_card_is_asked_through_nvidia_smi(tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, X86_GPU))

    assert state.clocks["gpu"] == Clock(210000000, 0, 2040000000, "")
    assert (state.temperatures_c["gpu"], state.gpu_load_percent) == (35, 0)
    assert doubts(state, state) == ()


def test_a_graphics_card_that_is_slowed_down_is_a_doubt(tmp_path: Path) -> None:
    hot = nvidia_smi("600, 2040, 91, 0, 0x0000000000000044")

    (doubt,) = doubts_about(tmp_path, {**X86_CPU, **hot})

    assert doubt.reason == "the board throttles (GPU: power cap, GPU: heat (hardware))"


@pytest.mark.parametrize(
    "line", ["", "[N/A], [N/A], [N/A], [N/A], [N/A]", "No devices were found", "1, 2", "a, b, c, d, 0xzz"]
)
def test_an_nvidia_smi_that_knows_nothing_adds_nothing(line: str, tmp_path: Path) -> None:
    state = read_state(write_tree(tmp_path, {**X86_CPU, **nvidia_smi(line)}))

    assert "gpu" not in state.clocks
    assert state.gpu_load_percent is None
    assert state.throttling == ()


def test_an_empty_root_gives_a_state_that_says_nothing(tmp_path: Path) -> None:
    state = read_state(tmp_path)

    assert state == BoardState(at=state.at)
    assert doubts(state, state) == ()


def test_a_jetson_of_which_nothing_can_be_read_is_full_of_doubts(tmp_path: Path) -> None:
    found = doubts_about(tmp_path, {"etc/nv_tegra_release": "\0"})

    assert [one.reason for one in found] == [
        "temperatures cannot be read",
        "the power mode cannot be read",
        "the clock of the GPU cannot be read",
    ]


@pytest.mark.parametrize(("load", "percent"), [("573", 57.3), ("1000", 100), ("1001", None), ("", None)])
def test_jetson_s_driver_says_the_load_per_mille(load: str, percent: float | None, tmp_path: Path) -> None:
    tree = {f"{GPU}/device/load": f"{load}\n"}

    assert read_state(write_tree(tmp_path, tree)).gpu_load_percent == percent
