"""What is missing on a board is told with the line that installs it there."""

import sys

import pytest

from targets.agent.needs import missing, runtime_version
from targets.board.identity import Identity
from targets.platforms import load_jetpacks
from targets.profile import TargetProfile

HERE = Identity("", "", "", 16.0, "", "", "Linux", "3.11.2", "host")
TENSORRT = TargetProfile(name="orin", device="AGX Orin", runtime="tensorrt")
NULL = TargetProfile(name="here", device="this machine", runtime="null")


def orin(jetpack: str) -> Identity:
    return Identity("AGX Orin", "agx-orin", "", 64.0, "36.4.3", jetpack, "Linux", "3.10.12", "host")


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)


def test_nothing_is_missing_where_all_is_there() -> None:
    assert missing(NULL, HERE) == ()


def test_modules_come_from_apt_on_a_jetson_and_from_either_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "numpy", "cv2")

    on_jetson = [one.hint for one in missing(NULL, orin("6.2"))]
    elsewhere = [one.hint for one in missing(NULL, HERE)]

    assert on_jetson == ["sudo apt-get install python3-numpy", "sudo apt-get install python3-opencv"]
    assert elsewhere[1].endswith("python3 -m pip install opencv-python-headless")


def test_tensorrt_comes_from_nvidia_s_packages_on_a_jetson(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "tensorrt")

    (one,) = missing(TENSORRT, orin("6.2"))

    assert "TensorRT" in one.what
    assert one.hint.endswith("apt-get install python3-libnvinfer")


def test_tensorrt_that_its_jetpack_does_not_bring_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "tensorrt")
    release = next(one for one in load_jetpacks().values() if not one.bundled)

    (one,) = missing(TENSORRT, orin(release.release))

    assert f"TensorRT {release.tensorrt}" in one.hint


def test_tensorrt_comes_from_pip_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "tensorrt")

    (one,) = missing(TENSORRT, HERE)

    assert one.hint == "python3 -m pip install tensorrt"


def test_onnxruntime_comes_from_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnxruntime")

    (one,) = missing(TargetProfile(name="pi", device="Pi 5", runtime="onnxruntime"), HERE)

    assert one.hint == "python3 -m pip install onnxruntime"


def test_without_a_kit_a_jetson_needs_tensorrt_and_another_machine_any_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "tensorrt")

    assert [one.what for one in missing(None, orin("6.2"))] != []
    assert missing(None, HERE) == ()


def test_a_runtime_that_is_not_here_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "openvino")

    assert runtime_version("openvino") is None
    assert runtime_version("onnxruntime")
