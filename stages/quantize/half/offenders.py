"""Offenders: the few of many nodes that cost the accuracy, found with few measurements."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise

Measure = Callable[[Collection[str]], float]
"""Give how far the model is off with exactly these nodes kept, in units of what is allowed."""

_PARTS = 16  # of the graph, that are measured before single nodes
_QUIET = 0.25  # of what is allowed: what costs less is left alone
# Of the whole error: a part that makes less of it alone is not to blame, but one of many that are a little.
# Of sixteen that are all alike, and independent, each makes a quarter.
_BLAME = 0.4


def keep_worst(nodes: Sequence[str], measure: Measure) -> list[str]:
    """Keep the worst nodes, each measured alone, until the others are within what is allowed.

    Args:
        nodes: Candidates.
        measure: Is called once a node, and once more for each that is kept.

    Returns:
        Nodes to keep, the worst first; if that is not enough, all that are worse than a little.
    """
    kept: list[str] = []
    if measure(kept) <= 1:
        return kept
    for (node,) in _worst_first([[node] for node in nodes], nodes, measure):
        kept.append(node)
        if measure(kept) <= 1:
            break
    return kept


def find_offenders(nodes: Sequence[str], measure: Measure) -> list[str]:
    """Keep the worst nodes of the worst parts of a graph, as long as some part is to blame.

    Args:
        nodes: Candidates, in the order of the graph.
        measure: Costs a run of the whole model on all pictures, so it is called for parts first.

    Returns:
        Nodes to keep. If that is not enough, the rest of the error comes from everywhere.
    """
    kept: list[str] = []
    off = measure(kept)
    if off <= 1:
        return kept
    parts = sorted(_alone(_split(nodes, _PARTS), nodes, measure), key=lambda pair: pair[0])
    while off > 1 and parts and parts[-1][0] >= max(_QUIET, _BLAME * off):
        _, part = parts.pop()
        for (node,) in _worst_first([[node] for node in part], nodes, measure):
            kept.append(node)
            off = measure(kept)
            if off <= 1:
                break
    return kept


def _split(nodes: Sequence[str], parts: int) -> list[Sequence[str]]:
    """Cut into consecutive parts of about one size."""
    ends = [len(nodes) * number // parts for number in range(parts + 1)]
    return [nodes[start:end] for start, end in pairwise(ends) if start < end]


def _worst_first(
    parts: Sequence[Sequence[str]], nodes: Sequence[str], measure: Measure
) -> Iterator[Sequence[str]]:
    """Give the parts that are off by more than a little when they alone are not kept."""
    for off, part in sorted(_alone(parts, nodes, measure), key=lambda pair: pair[0], reverse=True):
        if off > _QUIET:
            yield part


def _alone(
    parts: Sequence[Sequence[str]], nodes: Sequence[str], measure: Measure
) -> list[tuple[float, Sequence[str]]]:
    """Measure each part with all others kept."""
    return [(measure([node for node in nodes if node not in set(part)]), part) for part in parts]
