from pathlib import Path

import pytest

from pipeline.profiles import find_profile, find_profiles, profile_names
from targets.errors import ConfigError, UsageError
from targets.profile import Budgets, Dialect, TargetProfile

OWN = "name: press-3\ndevice: Panel PC\nruntime: openvino\nprecisions: [int8]\nbudgets: {p99_ms: 20}\n"


def write(folder: Path, text: str) -> str:
    (folder / "own.yaml").write_text(text)
    return str(folder / "own.yaml")


@pytest.mark.parametrize("name", profile_names())
def test_profiles_that_come_along_are_called_as_their_files(name: str) -> None:
    assert find_profile(name).name == name


def test_a_profile_is_found_by_name_and_jetpack() -> None:
    assert find_profile("orin@6.2") == find_profile("orin")


@pytest.mark.parametrize(
    ("target", "what", "hint"),
    [
        (
            "cup",
            "There is no target 'cup'; did you mean 'cpu'?",
            "Known: a10, a100, a6000, arm64-ort, cpu, cpu-ort, ",
        ),
        ("", "There is no target ''.", "Known: "),
        ("../cpu", "There is no target '../cpu'", "Known: "),
        ("orin@5.0", "Target 'orin' is not described for JetPack 5.0.", "Known: orin@5.1, orin@5.1.1, "),
        ("orin@7.1", "JetPack 7.1 does not run on NVIDIA Jetson AGX Orin 64GB.", "Known: orin@5.1, "),
        ("thor@6.2", "JetPack 6.2 does not run on NVIDIA Jetson AGX Thor T5000.", "Known: thor@7.0, "),
        ("orin-nano-8gb@7.2.2", "JetPack 7.2.2 does not run on", "Known: orin-nano-8gb@5.1, "),
        ("cpu@6.2", "Target 'cpu' is not described for JetPack 6.2.", "'cpu' has no JetPack."),
    ],
)
def test_one_that_is_not_there_is_answered_with_what_is(target: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_profile(target)

    assert caught.value.what.startswith(what)
    assert caught.value.hint.startswith(hint)


def test_a_file_of_ones_own_is_a_profile(tmp_path: Path) -> None:
    assert find_profile(write(tmp_path, OWN)) == TargetProfile(
        name="press-3",
        device="Panel PC",
        runtime="openvino",
        precisions=("int8",),
        budgets=Budgets(p99_ms=20.0),
    )


def test_a_board_of_ones_own_needs_no_more_than_its_module_and_release(tmp_path: Path) -> None:
    text = "name: mast\ndevice: Mast\nruntime: tensorrt\nmodule: orin-nx\njetpack: '5.1.2'\nlocal: false\n"

    profile = find_profile(write(tmp_path, text))

    assert (profile.runtime_version, profile.dialect.opset) == ("8.5.2", 17)
    assert "7.2.1" in profile.jetpacks


MAST = "name: mast\ndevice: Mast\nruntime: tensorrt\nmodule: orin-nx\njetpack: '6.2'\nlocal: false\n"


def test_a_file_of_ones_own_is_asked_for_another_release(tmp_path: Path) -> None:
    own = write(tmp_path, MAST)

    profiles = find_profiles([own, f"{own}@5.1", f"{own}@7.2"])

    assert {name: one.runtime_version for name, one in profiles.items()} == {
        "mast": "10.3.0.30",
        "mast@5.1": "8.5.2",
        "mast@7.2": "10.16.2.10",
    }
    assert [one.dialect.opset for one in profiles.values()] == [19, 17, 19]


def test_an_at_in_the_name_of_a_folder_asks_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "me@home"
    folder.mkdir()

    assert find_profile(write(folder, MAST)).jetpack == "6.2"
    assert find_profile(write(folder, MAST) + "@6.1").jetpack == "6.1"


@pytest.mark.parametrize(
    ("text", "release", "what", "hint"),
    [
        (MAST, "7.1", "JetPack 7.1 does not run on Mast.", "own.yaml@5.1, "),
        (MAST, "9", "Target 'mast' is not described for JetPack 9.", "own.yaml@5.1, "),
        (OWN, "6.2", "Target 'press-3' is not described for JetPack 6.2.", "own.yaml names no `module`"),
        (
            MAST + "runtime_version: '10.7'\n",
            "7.2",
            "own.yaml:7: TensorRT 10.7 is for JetPack 6.2, and 7.2 is asked for.",
            "Leave `runtime_version` out",
        ),
    ],
)
def test_a_release_that_a_file_of_ones_own_is_not_for_is_refused(
    tmp_path: Path, text: str, release: str, what: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find_profile(f"{write(tmp_path, text)}@{release}")

    assert caught.value.what.endswith(what)
    assert hint in caught.value.hint


def test_a_version_in_the_file_stays_for_the_release_in_the_file(tmp_path: Path) -> None:
    own = write(tmp_path, MAST + "runtime_version: '10.7'\n")

    assert find_profile(f"{own}@6.2").runtime_version == "10.7"


def test_what_a_file_says_itself_stays(tmp_path: Path) -> None:
    text = (
        "name: mast\ndevice: Mast\nruntime: tensorrt\nmodule: orin-nx\njetpack: '6.2'\nlocal: false\n"
        "runtime_version: '10.7'\ndialect: {opset: 17}\n"
    )

    profile = find_profile(write(tmp_path, text))

    assert (profile.runtime_version, profile.dialect) == ("10.7", Dialect(opset=17))


def test_unknown_keys_of_the_super_modes_have_their_line(tmp_path: Path) -> None:
    text = OWN + "super_mode:\n  since: '6.2'\n  rates: {int8_top: 3}\n  power_modes: [10W]\n"

    with pytest.raises(ConfigError) as caught:
        find_profile(write(tmp_path, text))

    assert caught.value.problems == [
        f"{tmp_path}/own.yaml:8: unknown key 'super_mode.rates.int8_top'; did you mean 'int8_tops'?"
    ]


def test_a_wrong_file_is_told_with_all_lines(tmp_path: Path) -> None:
    text = "name: press-3\nruntime: openvio\nprecision: [int8]\nthreads: many\ndialect: {opsets: 17}\n"

    with pytest.raises(ConfigError) as caught:
        find_profile(write(tmp_path, text))

    assert [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "own.yaml: device: is missing",
        (
            "own.yaml:2: runtime: Input should be 'null', 'onnxruntime', 'openvino' or 'tensorrt' "
            "(got 'openvio')"
        ),
        "own.yaml:3: unknown key 'precision'; did you mean 'precisions'?",
        (
            "own.yaml:4: threads: Input should be a valid integer, unable to parse string as an integer "
            "(got 'many')"
        ),
        "own.yaml:5: unknown key 'dialect.opsets'; did you mean 'opset'?",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("name: ../x", "name: only letters"),
        ("name: .hidden", "name: only letters"),
        ("name: ''", "name: only letters"),
        ("precisions: []", "precisions: at least one, and each once"),
        ("precisions: [fp32, fp32]", "precisions: at least one, and each once"),
        ("precisions: [fp32, fp16]", "precisions: this machine builds no fp16 engines yet"),
        ("runtime: tensorrt", "runtime_version: There is no operator table for TensorRT ''."),
        ("runtime: tensorrt\nruntime_version: '7.1'", "runtime_version: There is no operator table"),
        ("runtime: tensorrt\njetpack: '6.3'", "runtime_version: There is no operator table"),
        ("module: thor\njetpack: '6.2'", "jetpack: one that the module takes; known: 7.0, 7.1, 7.2"),
        ("module: orion\njetpack: '6.2'", "jetpack: one that the module takes; known: none"),
    ],
)
def test_what_no_run_could_do_is_refused_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    lines = {one.partition(":")[0]: one for one in [*OWN.splitlines(), *line.splitlines()]}

    with pytest.raises(ConfigError) as caught:
        find_profile(write(tmp_path, "\n".join(lines.values()) + "\n"))

    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]
    assert caught.value.problems[0].startswith(f"{tmp_path}/own.yaml")


def test_profiles_of_a_run_are_called_as_they_were_asked_for_files_by_their_names(tmp_path: Path) -> None:
    own = write(tmp_path, OWN)

    assert [*find_profiles(["orin@6.2", own, "cpu", "cpu"])] == ["orin@6.2", "press-3", "cpu"]


def test_two_profiles_cannot_have_one_name(tmp_path: Path) -> None:
    own = write(tmp_path, OWN.replace("press-3", "cpu"))

    with pytest.raises(UsageError, match="Two targets are called 'cpu'"):
        find_profiles(["cpu", own])
