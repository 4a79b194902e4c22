"""Parity: where in the network a form begins to compute something else than the form it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stages.artifact import Artifact
from stages.evaluation.parity import PointParity
from stages.stage import Progress
from targets.errors import DataError
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from stages.evaluation.parity_taps import Tap
    from targets.runtime import Images


@dataclass(frozen=True, kw_only=True)
class ParityInputs:
    """Two neighbouring forms.

    Attributes:
        reference: The form that `candidate` was made from: a checkpoint, or an ONNX folder.
        candidate: An ONNX folder, or an engine; of an engine only the answer can be had.
        index: The prepared data set.
        pictures: The folder that its pictures are in.
        profile: Target of an engine; None for an ONNX folder.
        host: Fingerprint of the machine, where the result depends on it.
    """

    reference: Artifact
    candidate: Artifact
    index: Artifact
    pictures: Artifact
    profile: TargetProfile | None
    host: str


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near both forms are.

    Attributes:
        points: In the order in which they are computed; the answer last.
        pictures: How many were looked at.
    """

    points: tuple[PointParity, ...]
    pictures: int


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Compare tensors of two forms on validation pictures; INT8 and FP16 graphs in float simulation.

    Attributes:
        layers: Look at every tensor that both have, not only at what neck and head give.
        pictures: The most to look at, from all over the set.
    """

    name: ClassVar[str] = "verify"
    resumes: ClassVar[bool] = False

    layers: bool = False
    pictures: int = 8

    def run(self, inputs: ParityInputs, out: Path, progress: Progress) -> Agreement:
        """Compare; writes nothing.

        Raises:
            DataError: There is no validation picture, or one cannot be read.
            ModelError: A form cannot be read, or is of another kind.
        """
        del out
        from stages.evaluation.parity import Meter

        images = load_images(inputs.candidate, inputs.index, inputs.pictures, most=self.pictures)
        meter = Meter()
        with open_pair(inputs, layers=self.layers) as (reference, candidate):
            for done, image in enumerate(images):
                progress(done, len(images))
                meter.add(reference(image), candidate(image))
        progress(len(images), len(images))
        return Agreement(points=meter.points(), pictures=len(images))


def load_images(form: Artifact, index: Artifact, pictures: Artifact, *, most: int) -> Sequence[Images]:
    """Give validation pictures from all over the set, as `form` takes them, (1, 3, H, W) each.

    Raises:
        DataError: There is none, or one cannot be read.
    """
    from stages.dataset import load_dataset, read_picture
    from targets.model import load_model_spec
    from targets.preprocess import letterbox

    val = load_dataset(index).val
    if not val:
        raise DataError("There is no validation picture to look at.", hint="Add some to the data set.")
    spec = load_model_spec(form.path).input
    chosen = val[:: -(-len(val) // most)]
    return [letterbox(read_picture(pictures, picture), spec)[0] for picture in chosen]


@contextmanager
def open_pair(inputs: ParityInputs, *, layers: bool) -> Iterator[tuple[Tap, Tap]]:
    """Open both forms so that each gives the tensors which both have."""
    from stages.evaluation.parity_points import layers_of, named_points
    from stages.evaluation.parity_taps import load_graph, tap_checkpoint, tap_graph
    from targets.model import load_model_spec

    with ExitStack() as stack:
        if inputs.profile is not None:
            graph = load_graph(inputs.reference.path)
            tap = stack.enter_context(_open_engine(inputs.candidate, inputs.profile))
            yield tap_graph(graph, (), load_model_spec(inputs.reference.path)), tap
            return
        graph = load_graph(inputs.candidate.path)
        spec = load_model_spec(inputs.candidate.path)
        in_pytorch = not (inputs.reference / "model.onnx").exists()
        before = graph if in_pytorch else load_graph(inputs.reference.path)
        known = {layer.tensor for layer in layers_of(before)} if layers else named_points(before)
        points = [layer.tensor for layer in layers_of(graph) if layer.tensor in known]
        if in_pytorch:
            reference = stack.enter_context(tap_checkpoint(inputs.reference, graph, points))
        else:
            reference = tap_graph(before, points, spec)
        yield reference, tap_graph(graph, points, spec)


@contextmanager
def _open_engine(engine: Artifact, profile: TargetProfile) -> Iterator[Tap]:
    from stages.evaluation.parity_taps import answer
    from targets.engine import open_engine
    from targets.model import load_model_spec
    from targets.runtimes import find_runtime

    open_engine(engine.path)
    spec = load_model_spec(engine.path)
    with find_runtime(profile.runtime).open(engine.path, profile) as infer:
        yield lambda images: answer(infer(images), spec)
