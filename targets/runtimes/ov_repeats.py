"""A rewrite that saves OpenVINO's CPU plugin from rounding again what is rounded already."""

from typing import Any, Optional, Tuple

Grid = Tuple[float, ...]

# Operators that give values as they came.
_MOVES = {
    "Concat", "MaxPool", "VariadicSplit", "Split", "Reshape", "Transpose", "Interpolate", "Squeeze",
    "Unsqueeze", "StridedSlice", "Slice",
}  # fmt: skip


def drop_repeats(graph: Any) -> int:
    """Take out of an `openvino.Model`, in place, each Q/DQ pair whose input is on its grid already.

    A Q/DQ graph for all runtimes rounds before and behind Concat, MaxPool and their like, with one grid. The
    second time changes nothing, and TensorRT wants it there; the CPU plugin of OpenVINO 2026.4.1 takes it out
    by itself where the grid is signed, and computes it where it is not: 34 extra layers in a YOLOv8n.

    Returns:
        How many it took out.
    """
    dropped = 0
    for node in graph.get_ordered_ops():
        pair = _pair_ending_in(node)
        if pair is not None and _is_on(pair[1], pair[0]):
            node.output(0).replace(pair[0])
            dropped += 1
    return dropped


def _pair_ending_in(multiply: Any) -> "Optional[Tuple[Any, Grid]]":
    """Give what goes into FakeQuantize → Convert → [Subtract] → Multiply, and the grid; or None."""
    if multiply.get_type_name() != "Multiply":
        return None
    constants = [multiply.input_value(1).get_node()]
    node = multiply.input_value(0).get_node()
    if node.get_type_name() == "Subtract":
        constants.append(node.input_value(1).get_node())
        node = node.input_value(0).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "FakeQuantize":
        return None
    constants += [node.input_value(place).get_node() for place in range(1, 5)]
    figures = [_figure(one) for one in constants]
    if any(figure is None for figure in figures):
        return None
    return node.input_value(0), tuple(figure for figure in figures if figure is not None)


def _figure(node: Any) -> Optional[float]:
    """Give the one number that a Constant holds, behind a Convert if there is one."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.data.size != 1:
        return None
    return float(node.data.reshape(-1)[0])


def _is_on(grid: Grid, output: Any) -> bool:
    """Say whether everything that comes to `output` was rounded to `grid`, and only moved since."""
    node = output.get_node()
    if node.get_type_name() in _MOVES and _keeps_values(node):
        sources = node.get_input_size() if node.get_type_name() == "Concat" else 1
        return all(_is_on(grid, node.input_value(place)) for place in range(sources))
    pair = _pair_ending_in(node)
    return pair is not None and pair[1] == grid


def _keeps_values(node: Any) -> bool:
    return node.get_type_name() != "Interpolate" or str(node.get_attributes().get("mode")) == "nearest"
