"""A child process that runs two models on the same random inputs, and says how far apart they are.

`python -m stages.check.prove BEFORE AFTER` prints one line of JSON: {"difference": 0.0, "equal": true}, or
{"problem": "..."}. A model that crashes ONNX Runtime, or does not end, costs this process and no other.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_OPEN_SIDE = 64  # pixels: a multiple of 32, as detectors want; the batch is 1
_RUNS = 3
_RTOL, _ATOL = 1e-3, 1e-4  # float32 sums in another order; far below what a rewrite gone wrong makes


def main(before: str, after: str) -> None:
    """Compare, and print."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        sessions = [
            onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            for file in (before, after)
        ]
        print(json.dumps(compare(*sessions)))  # noqa: T201 - the answer
    except Exception as exc:  # noqa: BLE001 - ONNX Runtime's dozen classes share no base but this
        print(json.dumps({"problem": str(exc) or type(exc).__name__}))  # noqa: T201


def compare(before: Any, after: Any) -> dict[str, Any]:
    """Run both sessions a few times and give the largest difference of any output."""
    import numpy as np

    random = np.random.default_rng(0)
    worst, equal = 0.0, True
    for _ in range(_RUNS):
        inputs = {one.name: _random(random, one.type, one.shape) for one in before.get_inputs()}
        wanted = {one.name: one.type for one in after.get_inputs()}
        narrowed = {name: inputs[name].astype(_numpy(kind)) for name, kind in wanted.items()}
        for left, right in zip(before.run(None, inputs), after.run(None, narrowed), strict=True):
            a, b = np.asarray(left), np.asarray(right)
            if a.shape != b.shape:
                return {"difference": float("inf"), "equal": False}
            exact = a.dtype.kind in "iub"
            same = (
                np.array_equal(a, b) if exact else np.allclose(a, b, rtol=_RTOL, atol=_ATOL, equal_nan=True)
            )
            equal = equal and bool(same)
            worst = max(worst, _distance(a, b))
    return {"difference": worst, "equal": equal}


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    import numpy as np

    apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.nanmax(apart, initial=0.0))


def _random(random: np.random.Generator, kind: str, shape: list[Any]) -> NDArray[Any]:
    import numpy as np

    sides = [
        one if isinstance(one, int) and one > 0 else (1 if place == 0 else _OPEN_SIDE)
        for place, one in enumerate(shape)
    ]
    dtype = np.dtype(_numpy(kind))
    if dtype.kind == "f":
        return random.random(sides).astype(dtype)
    return random.integers(0, 2 if dtype.kind == "b" else 8, sides).astype(dtype)


def _numpy(kind: str) -> str:
    """Give numpy's name of `tensor(float)`."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
