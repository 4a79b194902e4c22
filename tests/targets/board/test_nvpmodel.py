from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from targets.board.nvpmodel import fastest_of, find_modes, parse_modes, parse_query, read_power_mode
from tests.targets.board.trees import AGX_ORIN_JETPACK5, ORIN_NANO_JETPACK6, modes, nvpmodel, write_tree


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", ("MAXN", 0)),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_30W\n2\n", ("MODE_30W", 2)),
        ("NV Fan Mode:quiet\nNV Power Mode: 15W\r\n0\r\n", ("15W", 0)),
        ("NV Power Mode: MAXN_SUPER\n", ("MAXN_SUPER", None)),
        ("NVPM ERROR: Error opening /sys/devices/gpu.0: 13\n", ("", None)),
        ("", ("", None)),
    ],
)
def test_what_nvpmodel_says_is_read(text: str, mode: tuple[str, int | None]) -> None:
    assert parse_query(text) == mode


@settings(deadline=None)
@given(st.text(), st.from_regex(r"[A-Z0-9_]{1,20}", fullmatch=True), st.integers(0, 99))
def test_a_mode_is_found_after_any_warnings(warnings: str, name: str, number: int) -> None:
    text = f"{warnings.replace('NV Power Mode', '')}\nNV Power Mode: {name}\n{number}\n"

    assert parse_query(text) == (name, number)


@settings(deadline=None)
@given(st.text())
def test_any_output_is_read_without_an_error(text: str) -> None:
    name, number = parse_query(text)

    assert number is None or number >= 0
    assert "\n" not in name


@settings(deadline=None)
@given(st.text())
def test_any_configuration_is_read_without_an_error(text: str) -> None:
    assert all(number >= 0 for number in parse_modes(text).values())


def test_modes_that_are_commented_out_are_none() -> None:
    conf = modes(MAXN=0, MODE_15W=1)["etc/nvpmodel.conf"]

    assert parse_modes(conf) == {"MAXN": 0, "MODE_15W": 1}


def test_the_mode_comes_from_the_files_where_nvpmodel_is_absent(tmp_path: Path) -> None:
    tree = {name: text for name, text in AGX_ORIN_JETPACK5.items() if not name.startswith("usr/")}
    write_tree(tmp_path, {**tree, "var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n"})

    mode = read_power_mode(tmp_path)

    assert (mode.name, mode.id) == ("MODE_30W", 2)


def test_a_mode_without_a_number_is_looked_up(tmp_path: Path) -> None:
    silent = {"usr/sbin/nvpmodel": "#!/bin/sh\necho 'NV Power Mode: 25W'\n"}

    mode = read_power_mode(write_tree(tmp_path, {**ORIN_NANO_JETPACK6, **silent}))

    assert (mode.name, mode.id) == ("25W", 1)


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "no program\0", "#!/nowhere/sh\n"])
def test_an_nvpmodel_that_fails_says_nothing(program: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"usr/sbin/nvpmodel": program})

    mode = read_power_mode(tmp_path)

    assert (mode.name, mode.id, mode.known) == ("", None, {})


def test_nvpmodel_is_asked_without_sudo(tmp_path: Path) -> None:
    trap = {"usr/bin/sudo": f"#!/bin/sh\ntouch {tmp_path}/asked\n"}

    mode = read_power_mode(write_tree(tmp_path, {**nvpmodel("MAXN", 0), **trap}))

    assert mode.name == "MAXN"
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("known", "fastest"),
    [
        ({"MAXN": 0, "MODE_50W": 3}, "MAXN"),
        ({"15W": 0, "MAXN": 3, "MAXN_SUPER": 2}, "MAXN_SUPER"),
        ({"7W": 1, "15W": 0}, "15W"),
        ({}, ""),
    ],
)
def test_the_fastest_mode_is_the_one_without_limits_or_with_most_watts(
    known: dict[str, int], fastest: str
) -> None:
    assert fastest_of(known) == fastest


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("30W", ["MODE_30W", "MODE_50W"], ("MODE_30W",)),
        ("20W", ["MODE_20W_2CORE", "MODE_20W_6CORE", "MODE_15W_2CORE"], ("MODE_20W_2CORE", "MODE_20W_6CORE")),
        ("25W", ["25W", "25W_2CORE"], ("25W",)),
        ("MAXN_SUPER", ["MAXN"], ()),
    ],
)
def test_a_data_sheet_s_name_means_the_board_s_mode(
    wanted: str, names: list[str], found: tuple[str, ...]
) -> None:
    assert find_modes(wanted, names) == found
