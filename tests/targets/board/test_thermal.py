from pathlib import Path

import pytest

from targets.board.thermal import read_fan_percent, read_limits, read_temperatures
from tests.targets.board.trees import Tree, hwmon, write_tree, zones

ZONE = "sys/class/thermal/thermal_zone0"


@pytest.mark.parametrize(
    ("kind", "trip", "limits"),
    [
        ("hot", "90000", {"tj-thermal": 90}),
        ("critical", "104500", {"tj-thermal": 99}),
        ("active", "80000", {"tj-thermal": 99}),
        ("passive", "45000", {"tj-thermal": 99}),
        ("passive", "none", {"tj-thermal": 99}),
    ],
)
def test_the_lowest_trip_that_slows_down_is_the_limit_and_a_fan_s_is_not(
    kind: str, trip: str, limits: dict[str, float], tmp_path: Path
) -> None:
    more = {f"{ZONE}/trip_point_2_type": f"{kind}\n", f"{ZONE}/trip_point_2_temp": f"{trip}\n"}

    root = write_tree(tmp_path, {**zones(99000, tj_thermal="40000"), **more})

    assert read_limits(root) == limits


def test_zones_of_one_type_are_told_apart(tmp_path: Path) -> None:
    tree = {
        **zones(99000, acpitz="40000"),
        "sys/class/thermal/thermal_zone10/type": "acpitz\n",
        "sys/class/thermal/thermal_zone10/temp": "60000\n",
    }

    assert read_temperatures(write_tree(tmp_path, tree)) == {"acpitz": 40, "acpitz 2": 60}


@pytest.mark.parametrize(
    ("tree", "percent"),
    [
        (hwmon(3, "pwmfan", pwm1="51\n"), 20),
        (hwmon(3, "pwmfan", pwm1="900\n"), None),
        (hwmon(3, "pwmfan"), None),
        (hwmon(3, "nct6775", pwm1="255\n"), None),
    ],
)
def test_the_fan_s_speed_is_a_share_of_its_full_one(
    tree: Tree, percent: float | None, tmp_path: Path
) -> None:
    assert read_fan_percent(write_tree(tmp_path, tree)) == percent
