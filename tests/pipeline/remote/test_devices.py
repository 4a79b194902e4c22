"""`devices.yaml`: read strictly, all problems at once, with file and line."""

from pathlib import Path

import pytest

from pipeline.profiles import find_profile
from pipeline.remote.devices import Device, load_devices
from targets.errors import ConfigError, UsageError

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "devices.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "devices.yaml"
    path.write_text(text)
    return path


def test_the_example_is_right_and_names_targets_that_there_are() -> None:
    devices = load_devices(EXAMPLE)

    assert [one.name for one in devices] == ["lab-orin-1", "lab-nx", "this-machine"]
    for device in devices:
        for target in device.targets:
            find_profile(target)


def test_all_problems_are_told_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """devices:
  - name: a
    hots: 10.0.0.1
    targets: [orin]
  - name: b
    host: 10.0.0.2
    targets: orin
    port: many
""",
    )

    with pytest.raises(ConfigError) as caught:
        load_devices(path)

    assert caught.value.problems == [
        f"{path}:2: devices.0.host: is missing",
        f"{path}:3: unknown key 'devices.0.hots'; did you mean 'host'?",
        f"{path}:7: devices.1.targets: Input should be a valid tuple (got 'orin')",
        (
            f"{path}:8: devices.1.port: Input should be a valid integer, unable to parse string as an integer"
            " (got 'many')"
        ),
    ]
    assert caught.value.hint == "examples/devices.yaml shows a complete file."


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("host: -oProxyCommand=reboot", "host '-oProxyCommand=reboot' is no name or address"),
        ("user: -l", "user '-l' is no name"),
        ("targets: []", "targets: at least one is expected, as orin@6.2"),
        ("state: kits", "state 'kits' is neither absolute nor below ~/"),
        ("port: 65536", "port 65536 is no port"),
        ("slots: -1", "slots and wait_s cannot be negative"),
        ("keep: 0", "keep is at least 1: the kit whose receipt was fetched last"),
        ("options: [verbose]", "options: 'verbose' has not the form Name=value, as ProxyJump=gate"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    key = line.partition(":")[0]
    lines = [one for one in ("host: h", "targets: [orin]") if not one.startswith(f"{key}:")]
    path = written(tmp_path, "\n    ".join(["devices:\n  - name: a", *lines, line]))

    with pytest.raises(ConfigError) as caught:
        load_devices(path)

    assert caught.value.problems == [f"{path}:2: a: {problem}"]


def test_two_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    one = "  - {name: a, host: h, targets: [orin]}\n"
    path = written(tmp_path, f"devices:\n{one}{one}")

    with pytest.raises(ConfigError, match="a: another device has this name"):
        load_devices(path)


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_devices(tmp_path / "devices.yaml")


@pytest.mark.parametrize(
    ("label", "target", "jetpack", "claimed"),
    [
        pytest.param("orin", "orin", "6.2", True, id="the same"),
        pytest.param("orin", "orin@5.1", "5.1", True, id="any release"),
        pytest.param("orin@6.2", "orin", "6.2", True, id="the profile's own release"),
        pytest.param("orin@6.2", "orin@6.2", "6.2", True, id="the same release"),
        pytest.param("orin@6.2", "orin@5.1", "5.1", False, id="another release"),
        pytest.param("orin", "orin-nx", "6.2", False, id="another module"),
    ],
)
def test_a_device_claims_what_its_labels_say(label: str, target: str, jetpack: str, claimed: bool) -> None:
    device = Device(name="a", host="h", targets=("other", label))

    assert device.claims(target, jetpack) is claimed
