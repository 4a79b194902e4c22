"""`pipeline init`: a commented pipeline.yaml for a data set."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.config import FILE_NAME
from pipeline.files import write_atomically
from stages.data.peek import peek
from targets.errors import UsageError

_TEMPLATE = """\
# Edgebound: from a data set to a gated engine. `pipeline plan` shows what a run would do,
# `pipeline run --target cpu` does it. Every key has a default; --set section.key=value overrides one.
# {summary}

model:
  weights: {weights}    # checkpoint .pt, model YAML (trained from scratch), or the name of one
  # modules: [my_blocks]     # Python packages with blocks of your own

data:
  path: {path}
  # calibration: 200         # training pictures for INT8 calibration; never from val

train:
  epochs: 100                # 0 takes the weights as they are
  imgsz: {imgsz}                 # side of the input in pixels, a multiple of 32
  # batch: 16
  # device: 0                # default: the GPU if there is one

# quantize:
#   exclude: [head]          # stays in float: `head`, or patterns of ONNX node names
#   drift_budget_pt:         # as 0.5: leaves the layers in higher precision that it takes
#   method: mse              # how ranges are found; or minmax, percentile, entropy, reconstruction

# build:
#   precision: auto          # auto ships the fastest candidate that passes; or fp32, int8

# verify:
#   runs: 400                # timed inferences of each engine

# gate:                      # losses of mAP50-95 in points (1 pt = 0.01)
#   onnx_drift_pt: 0.1
#   int8_drift_pt: 1.0
#   drift_pt: 1.5
"""


def write_starter(data: Path, root: Path, *, weights: str, force: bool) -> Path:
    """Write `root/pipeline.yaml` for the data set `data`.

    Raises:
        UsageError: There is one already, or the data set is not there.
        DataError: The data set's description cannot be read.
    """
    file = root / FILE_NAME
    if file.exists() and not force:
        raise UsageError(f"{file} is there already.", hint="--force overwrites it.")
    seen = peek(data)
    side = max(32, min(640, -(-seen.median_side_px // 32) * 32))
    summary = (
        f"{seen.train_pictures} training and {seen.val_pictures} validation pictures, median long side "
        f"{seen.median_side_px} px; classes: {', '.join(seen.class_names[:8])}"
        f"{', …' if len(seen.class_names) > 8 else ''}."
    )
    text = _TEMPLATE.format(
        summary="".join(one if one.isprintable() else " " for one in summary),  # a comment is one line
        weights=_quoted(weights),
        path=_quoted(os.path.relpath(data, root)),
        imgsz=side,
    )
    write_atomically(file, text.encode())
    return file


def _quoted(text: str) -> str:
    """Quote a value where YAML would read it otherwise."""
    import yaml

    return yaml.safe_dump(text, width=10**6).removesuffix("\n...\n").strip()
