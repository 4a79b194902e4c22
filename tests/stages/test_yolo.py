import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stages.yolo import Detect, build_detector, register_modules
from targets.errors import ModelError, UsageError

LISTEN = """
import socket
calls = []
def refuse(*args, **kwargs):
    calls.append(args)
    raise OSError
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
import os
before = dict(os.environ)
import stages.yolo
assert not calls, calls
assert os.environ.get("OMP_NUM_THREADS") == before.get("OMP_NUM_THREADS")
"""


@pytest.mark.slow
def test_importing_it_asks_no_network_and_leaves_home_and_terminal_alone(tmp_path: Path) -> None:
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", LISTEN], capture_output=True, text=True, env=home)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*ltralytics*")) == []


def test_a_module_of_the_user_is_known_to_the_yaml_parser(
    blocks: str, small_yaml: Callable[..., str]
) -> None:
    register_modules([blocks])

    module = build_detector(yaml.safe_load(small_yaml("ChannelGate", 16)), classes=3)

    assert type(module.model[3]).__name__ == "ChannelGate"


def test_a_head_of_the_user_gets_its_channels(blocks: str, small_yaml: Callable[..., str]) -> None:
    register_modules([blocks])

    module = build_detector(yaml.safe_load(small_yaml(head="UndecidedHead")), classes=3)

    assert type(module.model[-1]).__name__ == "UndecidedHead"
    assert module.model[-1].nc == 3
    assert isinstance(build_detector(yaml.safe_load(small_yaml()), classes=3).model[-1], Detect)


def test_a_package_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="nowhere_to_be_found, which cannot be imported"):
        register_modules(["nowhere_to_be_found"])


def test_a_module_with_the_name_of_a_stock_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shadowing.py").write_text("from torch import nn\nclass Conv(nn.Module): ...\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UsageError, match=r"shadowing\.Conv has the name of ultralytics") as caught:
        register_modules(["shadowing"])

    assert "MyConv" in caught.value.hint


def test_a_package_that_fails_to_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_blocks.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(UsageError, match="broken_blocks, which cannot be imported: ZeroDivisionError"):
        register_modules(["broken_blocks"])


def test_an_unknown_layer_is_named(small_yaml: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="names 'Simam', which Ultralytics") as caught:
        build_detector(yaml.safe_load(small_yaml("Simam")), classes=3)

    assert "model.modules" in caught.value.hint


def test_a_description_runs_no_code(small_yaml: Callable[..., str], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    description = yaml.safe_load(small_yaml())
    description["activation"] = f"open({str(flag)!r}, 'w') and nn.SiLU()"

    with pytest.raises(UsageError, match="unsupported activation"):
        build_detector(description, classes=3)

    assert not flag.exists()


def test_a_model_for_masks_is_no_detector(small_yaml: Callable[..., str]) -> None:
    description = yaml.safe_load(small_yaml())
    description["head"][-1] = [[4, 5], 1, "Segment", ["nc", 32, 16]]

    with pytest.raises(ModelError, match="is no YOLO detector: it is a Segment"):
        build_detector(description, classes=3)
