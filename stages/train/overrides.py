"""Overrides: settings of Ultralytics' training that `train:` has no field for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache

from stages.weights import ultralytics_folder
from targets.errors import UsageError

FIELDS = frozenset(
    ("epochs", "imgsz", "batch", "device", "seed", "amp", "optimizer", "lr0", "patience", "workers", "cache")
)
# Ours to decide: where files lie, what is trained on what, and what the checkpoint must match.
OWNED = frozenset(
    (
        "task", "mode", "model", "data", "project", "name", "exist_ok", "save", "save_dir", "save_period",
        "resume", "pretrained", "cfg", "time", "split", "fraction", "classes", "single_cls", "nms", "plots",
        "verbose", "profile", "quantize", "distill_model", "augmentations", "compile",
    )
)  # fmt: skip


def check_overrides(overrides: Mapping[str, object]) -> None:
    """See that every key is a setting of Ultralytics that may be set. Imports nothing heavy.

    Raises:
        UsageError: One is not.
    """
    for key in overrides:
        if key in FIELDS:
            raise UsageError(
                f"`train.overrides.{key}` has a field of its own.", hint=f"Set `train.{key}` instead."
            )
        if key in OWNED:
            raise UsageError(
                f"`train.overrides.{key}` cannot be set: the pipeline decides it.", hint="Remove the line."
            )
        if key not in known_keys():
            near = difflib.get_close_matches(key, known_keys() - OWNED, n=1)
            raise UsageError(
                f"`train.overrides.{key}` is not a training setting of Ultralytics.",
                hint=f"Did you mean `{near[0]}`?" if near else "See https://docs.ultralytics.com/usage/cfg.",
            )


@cache
def known_keys() -> frozenset[str]:
    """Give the settings of the installed Ultralytics, without importing it."""
    import yaml

    text = (ultralytics_folder() / "cfg" / "default.yaml").read_text(encoding="utf-8")
    return frozenset(yaml.safe_load(text))
