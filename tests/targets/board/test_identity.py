from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.board.identity import find_family, find_jetpack, identify, is_jetson, read_l4t
from tests.targets.board.trees import (
    AGX_ORIN_JETPACK5,
    AGX_ORIN_JETPACK7,
    JETSONS,
    ORIN_NANO_JETPACK6,
    THOR_JETPACK7,
    X86_CPU,
    Tree,
    cpus,
    nvpmodel,
    write_tree,
)


@pytest.mark.parametrize(
    ("tree", "module", "module_id", "l4t", "jetpack"),
    [
        (AGX_ORIN_JETPACK5, "agx-orin", "699-13701-0005-500 J.0", "35.4.1", "5.1.2"),
        (ORIN_NANO_JETPACK6, "orin-nano", "p3767-0005-super", "36.4.3", "6.2"),
        (THOR_JETPACK7, "thor", "699-13834-0008-400 G.5", "38.2.0", "7.0"),
        (AGX_ORIN_JETPACK7, "agx-orin", "699-13701-0005-500 J.0", "39.2.0", "7.2"),
    ],
    ids=list(JETSONS),
)
def test_a_jetson_says_what_it_is(
    tree: Tree, module: str, module_id: str, l4t: str, jetpack: str, tmp_path: Path
) -> None:
    found = identify(write_tree(tmp_path, tree))

    assert (found.module, found.module_id) == (module, module_id)
    assert (found.l4t, found.jetpack) == (l4t, jetpack)
    assert found.model == tree["proc/device-tree/model"].rstrip("\0")


def test_a_server_is_no_jetson_but_has_a_name_and_memory(tmp_path: Path) -> None:
    found = identify(write_tree(tmp_path, X86_CPU))

    assert not is_jetson(tmp_path)
    assert (found.model, found.module, found.l4t, found.jetpack) == ("PowerEdge R7525", "", "", "")
    assert found.memory_gb == 270.19


def test_an_empty_root_gives_an_identity_that_says_nothing(tmp_path: Path) -> None:
    found = identify(tmp_path)

    assert (found.model, found.module, found.module_id, found.memory_gb) == ("", "", "", 0)
    assert found.os
    assert found.python


def test_the_fingerprint_of_a_jetson_is_the_same_in_every_power_mode(tmp_path: Path) -> None:
    fast = identify(write_tree(tmp_path / "fast", AGX_ORIN_JETPACK5))
    slow_mode = {**nvpmodel("MODE_15W", 1), **cpus({0: 1113600}, governor="powersave")}
    slow = identify(write_tree(tmp_path / "slow", {**AGX_ORIN_JETPACK5, **slow_mode}))

    assert fast.host == slow.host


@pytest.mark.parametrize("other", [AGX_ORIN_JETPACK7, ORIN_NANO_JETPACK6, X86_CPU])
def test_another_board_or_release_has_another_fingerprint(other: Tree, tmp_path: Path) -> None:
    one = identify(write_tree(tmp_path / "one", AGX_ORIN_JETPACK5))

    assert identify(write_tree(tmp_path / "other", other)).host != one.host


def test_the_release_comes_from_the_package_list_where_the_release_file_is_missing(tmp_path: Path) -> None:
    packages = (
        "Package: nano\nVersion: 6.2-1\n\n"
        "Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.4.7-20250918154033\n\n"
    )
    write_tree(tmp_path, {"var/lib/dpkg/status": packages})

    assert read_l4t(tmp_path) == "36.4.7"


def test_another_package_s_version_is_not_taken_for_the_release(tmp_path: Path) -> None:
    packages = "Package: nvidia-l4t-core\nStatus: deinstall ok\n\nPackage: nano\nVersion: 6.2-1\n\n"
    write_tree(tmp_path, {"var/lib/dpkg/status": packages})

    assert read_l4t(tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "l4t"),
    [
        ("# R36 (release), REVISION: 4, GCID: 1", "36.4.0"),
        ("# R36 (release), REVISION: 4.4.1, GCID: 1", "36.4.4"),
        ("# R39  (release),  REVISION:2.1", "39.2.1"),
        ("# R (release), REVISION: 4.3", ""),
        ("", ""),
    ],
)
def test_release_files_are_read_as_jetpack_s_table_has_them(text: str, l4t: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"etc/nv_tegra_release": text})

    assert read_l4t(tmp_path) == l4t


@settings(deadline=None)
@given(text=st.text())
def test_any_release_file_gives_three_figures_or_nothing(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "etc").mkdir()
    (root / "etc/nv_tegra_release").write_text(
        f"# R36 (release), REVISION: {text}", encoding="utf-8", newline=""
    )

    l4t = read_l4t(root)

    assert l4t == "" or (l4t.startswith("36.") and l4t.count(".") == 2)


def test_a_release_that_no_jetpack_has_belongs_to_none() -> None:
    assert find_jetpack("36.9.9") == find_jetpack("") == ""


@pytest.mark.parametrize(
    ("module_id", "model", "family"),
    [
        ("p3767-0000", "", "orin-nx"),
        ("p3767-0001-super", "", "orin-nx"),
        ("699-13767-0004-300 A.1", "", "orin-nano"),
        ("p3668-0001", "", "xavier-nx"),
        ("", "NVIDIA Orin NX Developer Kit", "orin-nx"),
        ("p9999-0001", "Carrier of ours with Jetson AGX Orin", "agx-orin"),
        ("", "Raspberry Pi 5 Model B", ""),
    ],
)
def test_families_follow_from_part_numbers_or_else_from_names(
    module_id: str, model: str, family: str
) -> None:
    assert find_family(module_id, model) == family


def test_an_eeprom_of_a_carrier_or_full_of_noise_is_passed_over(tmp_path: Path) -> None:
    spoilt = {
        "sys/bus/i2c/devices/0-0050/eeprom": "\xff" * 256,
        "sys/bus/i2c/devices/1-0050/eeprom": "\0" * 20 + "699-13737-0000-500 A.0",
    }
    tree = {**AGX_ORIN_JETPACK7, **spoilt}

    assert identify(write_tree(tmp_path, tree)).module_id == "p3701-0005"


def test_an_eeprom_that_only_root_may_read_is_no_failure(
    tmp_path: Path, deny: Callable[[Path], None]
) -> None:
    write_tree(tmp_path, AGX_ORIN_JETPACK7)
    deny(tmp_path / "sys/bus/i2c/devices/0-0050/eeprom")

    assert identify(tmp_path).module_id == "p3701-0005"
