"""Taps: two forms of one detector, each giving its inner tensors by the name that both have for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from stages.evaluation.half import half_simulated
from stages.evaluation.parity import Tensors
from stages.evaluation.parity_points import layers_of, modules_of
from stages.evaluation.simulation import simulated
from stages.onnx_files import load_onnx
from targets.errors import ModelError
from targets.model import ModelSpec
from targets.runtimes.ort import MODEL_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from stages.artifact import Artifact
    from targets.runtime import Images

Tap = Callable[["Images"], Tensors]
"""From one picture, as the model takes it, to tensors by point."""


def load_graph(folder: Path) -> onnx.ModelProto:
    """Read `folder/model.onnx` in the form in which its values are looked at: INT8 and FP16 in float.

    Raises:
        ModelError: It is no ONNX model, or in a form that is not simulated.
    """
    return half_simulated(simulated(load_onnx(folder / MODEL_NAME)))


def answer(output: NDArray[np.float32], spec: ModelSpec) -> Tensors:
    """Give the points that every form has: its answer, boxes and scores apart.

    An end-to-end head sorts by score, and near scores change places: there, scores alone are looked at.
    """
    if spec.output == "end2end":
        return {"scores": output[..., 4]}
    return {"boxes": output[:, :4], "scores": output[:, 4:]}


def tap_graph(model: onnx.ModelProto, points: Sequence[str], spec: ModelSpec) -> Tap:
    """Open a graph so that it gives `points` besides its answer.

    Args:
        model: As `load_graph` gives it.
        points: Names of its tensors.
        spec: Says how it answers.

    Raises:
        ModelError: ONNX Runtime cannot run it.
    """
    import onnxruntime

    source, end = model.graph.input[0].name, model.graph.output[0].name
    points = [point for point in points if point != end]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=point) for point in points)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except (RuntimeError, ValueError) as exc:
        raise ModelError(
            f"ONNX Runtime cannot show the tensors within the model: {exc}", hint="Compare its answers alone."
        ) from exc

    def look(images: Images) -> Tensors:
        output, *found = session.run([end, *points], {source: images})
        return {**dict(zip(points, found, strict=True)), **answer(output, spec)}

    return look


@contextmanager
def tap_checkpoint(checkpoint: Artifact, graph: onnx.ModelProto, points: Iterable[str]) -> Iterator[Tap]:
    """Load a checkpoint so that it gives what its export calls `points`, as far as a module ends with them.

    Modules that the export fuses with others are left out: by themselves they compute something else. So
    are those that run more than once in a picture.

    Args:
        checkpoint: In PyTorch.
        graph: Its export.
        points: Names of tensors there.

    Raises:
        ModelError: The folder is not a checkpoint, or is damaged.
    """
    import torch

    from stages.checkpoint import load_module
    from targets.model import load_model_spec

    spec = load_model_spec(checkpoint.path)
    module = load_module(checkpoint)
    wanted = set(points)
    fused = _fused(module)
    names = [name for name, _ in module.named_modules() if name and name not in fused]
    watched = {name: tensor for tensor, name in modules_of(layers_of(graph), names) if tensor in wanted}
    seen: dict[str, NDArray[np.float32]] = {}
    calls: Counter[str] = Counter()

    def remember(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            calls[name] += 1
            if isinstance(output, torch.Tensor):
                seen[name] = output.detach().cpu().numpy().copy()  # the next module may work in place

        return hook

    def look(images: Images) -> Tensors:
        seen.clear()
        calls.clear()
        with torch.inference_mode():
            output = module(torch.from_numpy(images))[0].numpy()
        inner = {watched[name]: values for name, values in seen.items() if calls[name] == 1}
        return {**inner, **answer(output, spec)}

    with ExitStack() as stack:  # an activation may be the one that all models of this process share
        for name in watched:
            stack.enter_context(module.get_submodule(name).register_forward_hook(remember(name)))
        yield look


def _fused(module: Any) -> set[str]:
    """Give the modules that the export fuses: those whose own weights are others, or gone, afterwards."""
    fused = deepcopy(module)
    fused.fuse(verbose=False)
    after = dict(fused.named_modules())
    return {
        name for name, one in module.named_modules() if name and not _same(_own(one), _own(after.get(name)))
    }


def _own(module: Any) -> Mapping[str, Any] | None:
    return None if module is None else dict(module.named_parameters(recurse=False))


def _same(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    import torch

    if before is None or after is None or before.keys() != after.keys():
        return False
    return all(torch.equal(value, after[name]) for name, value in before.items())
