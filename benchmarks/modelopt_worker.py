"""Quantize with NVIDIA ModelOpt, in a Python of its own: the program that `benchmarks.peers` starts there.

```
PYTHON modelopt_worker.py MODEL.onnx IMAGES.npy OUT.onnx NODE...
```
The nodes are left out. All else is ModelOpt's default, but for what would need a GPU and the FP16 of the
rest, which on this CPU is no peer to FP32.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np


def main(model: str, images: str, out: str, *left_out: str) -> None:
    """Write the Q/DQ model."""
    quantization = importlib.import_module("modelopt.onnx.quantization")
    quantization.quantize(
        model,
        quantize_mode="int8",
        calibration_data=np.load(images),
        calibration_eps=["cpu"],
        nodes_to_exclude=list(left_out),
        high_precision_dtype="fp32",
        output_path=out,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
