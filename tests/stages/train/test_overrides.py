import subprocess
import sys

import pytest

from stages.train import check_overrides
from targets.errors import UsageError


def test_settings_of_ultralytics_pass() -> None:
    check_overrides({"mosaic": 0.5, "nbs": 16, "close_mosaic": 2, "cos_lr": True, "val": False, "box": 7})


@pytest.mark.parametrize(
    ("key", "what", "hint"),
    [
        ("mosiac", "not a training setting of Ultralytics", "Did you mean `mosaic`?"),
        ("zzz", "not a training setting of Ultralytics", "https://docs.ultralytics.com"),
        ("epochs", "has a field of its own", "Set `train.epochs` instead."),
        ("project", "cannot be set", "Remove the line."),
        ("resume", "cannot be set", "Remove the line."),
    ],
)
def test_a_key_that_may_not_be_set_is_refused(key: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError, match=rf"train\.overrides\.{key}` .*{what}") as caught:
        check_overrides({key: 1})

    assert hint in caught.value.hint


def test_checking_loads_nothing_heavy() -> None:
    code = (
        "import sys; from stages.train import Train, check_overrides; check_overrides({'mosaic': 1.0})\n"
        "print(sorted(set(sys.modules) & {'torch', 'ultralytics', 'cv2', 'numpy'}))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
