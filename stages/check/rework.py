"""A child process for the rewrites that libraries do, so that their crash is not ours.

`python -m stages.check.rework OPSET IN OUT` writes `OUT`, with constants folded (OPSET 0) or at another
operator set, and ends with 0; it writes nothing where there is nothing to do.
"""

from __future__ import annotations

import sys


def main(opset: int, source: str, out: str) -> None:
    """Rewrite the model of a file."""
    import onnx

    model = onnx.load(source)
    if opset:
        from onnx import checker, version_converter

        changed = version_converter.convert_version(model, opset)
        checker.check_model(changed)
    else:
        import onnxslim

        nodes = len(model.graph.node)
        changed = onnxslim.slim(model)
        if changed is None or len(changed.graph.node) >= nodes:
            return
    onnx.save(changed, out)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
