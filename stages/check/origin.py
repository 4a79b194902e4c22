"""Where a node comes from: the PyTorch module, and the line of its code, as exporters leave them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from stages.check.bodies import BETWEEN

if TYPE_CHECKING:
    from onnx import NodeProto

_SCOPES = "pkg.torch.onnx.name_scopes"  # torch.onnx.export(dynamo=True)
_STACK = "pkg.torch.onnx.stack_trace"


def module_of(node: NodeProto) -> str:
    """Give the path of the PyTorch module, as `named_modules` has it; "" where the file does not say.

    The exporter by tracing names a node after the modules around it, `/model.22/cv2.0/cv2.0.0/conv/Conv`, and
    repeats the name of a container in those of its members. A node within another one has that one's module
    where it names none itself.
    """
    notes = {one.key: one.value for one in node.metadata_props}
    if scopes := re.findall(r"'([^']*)'", notes.get(_SCOPES, "")):
        return str(scopes[-2] if len(scopes) > 1 else scopes[-1])  # the last one is the node itself
    named = [one for one in node.name.split(BETWEEN) if one.startswith("/")]
    if not named:
        return ""
    parts = named[-1].strip("/").split("/")[:-1]
    kept = [one for one, after in pairwise(parts) if not after.startswith(f"{one}.")]
    return ".".join([*kept, *parts[-1:]])


def line_of(node: NodeProto) -> str:
    """Give `file.py:12`, the innermost line that made the node; "" where the file does not say."""
    stack = next((one.value for one in node.metadata_props if one.key == _STACK), "")
    lines = re.findall(r'File "([^"]+)", line (\d+)', stack)
    return f"{lines[-1][0]}:{lines[-1][1]}" if lines else ""
