"""Where a node comes from."""

import pytest
from onnx import helper

from stages.check.origin import line_of, module_of


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("/model.22/cv2.0/cv2.0.0/conv/Conv", "model.22.cv2.0.0.conv"),
        ("/model.22/Concat_3", "model.22"),
        ("/model.10/m/m.0/attn/MatMul", "model.10.m.0.attn"),
        ("/Relu", ""),
        ("Conv_12", ""),
        ("", ""),
    ],
)
def test_module_is_read_from_the_name_that_tracing_gives(name: str, module: str) -> None:
    assert module_of(helper.make_node("Conv", [], [], name=name)) == module


def test_module_and_line_are_read_from_what_the_dynamo_exporter_notes() -> None:
    node = helper.make_node("Conv", [], [], name="node_conv2d_1")
    node.metadata_props.add(
        key="pkg.torch.onnx.name_scopes", value="['', 'model.0', 'model.0.conv', 'conv2d']"
    )
    stack = 'File "/a/tasks.py", line 10, in forward\n  x\nFile "/a/conv.py", line 54, in forward\n  y'
    node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=stack)

    assert (module_of(node), line_of(node)) == ("model.0.conv", "/a/conv.py:54")
