"""Noise: what quantization adds to the values at a detector's head, block by block. The work of `Rank`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import add

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.dataset import load_dataset
from stages.evaluation.simulation import simulated
from stages.quantize import Quantize
from stages.quantize.assemble import Groundwork, lay
from stages.quantize.calibration.calibrate import CalibrationPictures, load_float
from stages.quantize.calibration.observe import input_of
from stages.quantize.calibration.session import Session
from stages.quantize.calibration.storage import load_statistics
from stages.quantize.graph import Graph
from stages.quantize.placement import Placement, place
from stages.quantize.placement.head import find_head, is_weighted
from stages.quantize.ranking.blocks import Block, Noise, RankInputs
from stages.quantize.ranking.cost import Load, load_of
from stages.stage import Progress
from targets.errors import DataError
from targets.model import load_model_spec
from targets.profile import Dialect

_LEAST, _MOST = 1e-20, 1e20  # noise by signal: 200 dB for what is exact, -200 dB for what is not finite

_Image = NDArray[np.float32]


class NoiseMeter:
    """The float model's answers, to hold others against.

    Attributes:
        names: The tensors that are looked at: what the head's last weighted nodes give to decoding; of a
            model without such a head, its outputs.
    """

    def __init__(self, model: onnx.ModelProto, images: Iterable[_Image]) -> None:
        graph = Graph(model)
        ends = find_head(graph).outputs
        self.names = tuple(node.output[0] for node in graph.nodes if node.name in ends) or tuple(
            graph.outputs
        )
        self._source = input_of(model)
        self._images = tuple(images)
        session = Session(model, self.names)
        self._expected = [session.run({self._source: image}) for image in self._images]

    def sqnr_db(self, quantized: onnx.ModelProto) -> float:
        """Give the signal-to-quantization-noise ratio of a Q/DQ form of the model, in decibels.

        10 log10(sum of x² / sum of (x - x')²) over all pictures for each tensor; the ratios are averaged as
        energies, so that no tensor counts for more because its values are larger.
        """
        session = Session(simulated(quantized), self.names)
        signal, noise = np.zeros(len(self.names)), np.zeros(len(self.names))
        for image, expected in zip(self._images, self._expected, strict=True):
            found = session.run({self._source: image})
            for tensor, (one, other) in enumerate(zip(expected, found, strict=True)):
                signal[tensor] += _energy(one)
                noise[tensor] += _energy(other - one)
        share = float((noise / np.maximum(signal, np.finfo(np.float64).tiny)).mean())
        bounded = min(max(share, _LEAST), _MOST) if np.isfinite(share) else _MOST
        return float(-10 * np.log10(bounded))


def _energy(values: NDArray[np.float32]) -> float:
    flat = values.ravel()
    return float(flat @ flat)


def measure_noise(quantize: Quantize, inputs: RankInputs, *, pictures: int, progress: Progress) -> Noise:
    """Quantize and run each block by itself, and all of them.

    Args:
        quantize: Settings of a quantization; what it excludes is in no block.
        inputs: Of the stage.
        pictures: The most to look at.
        progress: Told the number of forms.

    Raises:
        DataError: There are no calibration pictures, or one cannot be read, or the statistics cannot.
        ModelError: The model cannot be read or run, has no fixed shapes, or nothing to quantize.
    """
    model = load_float(inputs.onnx / "model.onnx")
    graph = Graph(model)
    loads = {node.name: load_of(graph, node) for node in graph.nodes if is_weighted(node, graph.weights)}
    images = _images(pictures, inputs)
    ground = lay(
        model,
        load_statistics(inputs.statistics),
        quantize,
        dialect=inputs.dialect,
        spec=load_model_spec(inputs.onnx.path).input,
        images=images,
    )
    meter = NoiseMeter(model, images)
    blocks = find_blocks(graph, ground.placement)
    ratios = []
    for done, form in enumerate(_forms(ground, blocks, exclude=quantize.exclude, dialect=inputs.dialect)):
        progress(done, len(blocks) + 1, f"block {done + 1} of {len(blocks)}" if done < len(blocks) else "all")
        ratios.append(meter.sqnr_db(form))
    progress(len(ratios), len(ratios))
    ranked = tuple(
        Block(name=nodes[0], nodes=nodes, sqnr_db=ratio, load=_total(loads.pop(name) for name in nodes))
        for nodes, ratio in zip(blocks, ratios[:-1], strict=True)
    )
    return Noise(blocks=ranked, sqnr_db=ratios[-1], rest=_total(loads.values()), pictures=len(images))


def _forms(
    ground: Groundwork, blocks: Sequence[tuple[str, ...]], *, exclude: Sequence[str], dialect: Dialect
) -> Iterator[onnx.ModelProto]:
    """Quantize each block by itself, each tensor on the grid that it has with all of them; then all."""
    for nodes in blocks:
        others = [name for name in ground.placement.nodes if name not in nodes]
        part = place(ground.model, exclude=(*exclude, *others), tensor_cores=dialect.tensor_cores)
        yield ground.assemble(part)
    yield ground.assemble()


def find_blocks(graph: Graph, placement: Placement) -> list[tuple[str, ...]]:
    """Give the weighted nodes of a placement, those together that read the same activation.

    One of them in float would read the activation unrounded, so that it would have to be kept in both forms.
    """
    blocks: dict[str, list[str]] = {}
    for name in placement.nodes:
        node = graph.named[name]
        if is_weighted(node, graph.weights):
            blocks.setdefault(node.input[0], []).append(name)
    return [tuple(nodes) for nodes in blocks.values()]


def _images(most: int, inputs: RankInputs) -> list[_Image]:
    """Give calibration pictures from all over the set, (1, 3, H, W) each."""
    calibration = load_dataset(inputs.index).calibration
    if not calibration:
        raise DataError("There are no calibration pictures.", hint="Set data.calibration above 0.")
    chosen = calibration[:: -(-len(calibration) // most)]
    return list(CalibrationPictures(inputs.pictures, chosen, load_model_spec(inputs.onnx.path).input))


def _total(loads: Iterable[Load]) -> Load:
    return reduce(add, loads, Load(macs=0, values=0))
