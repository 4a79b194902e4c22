"""OpenVINO on the CPU."""

import re
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator

from targets.errors import EvidenceError, ModelError, UnsupportedError
from targets.profile import TargetProfile
from targets.runtimes.ov_repeats import drop_repeats
from targets.runtimes.ov_signed import offset_signed_activations

if TYPE_CHECKING:
    from targets.runtime import Images, Infer, Output

MODEL_NAME = "model.xml"
WEIGHTS_NAME = "model.bin"
_DEVICE = "CPU"


class OvRuntime:
    """OpenVINO with its CPU plugin. What the graph says is computed: FP32 in FP32, Q/DQ in INT8."""

    def version(self) -> str:
        """Give the version of openvino.

        Raises:
            EvidenceError: It is not installed.
        """
        return str(_import_openvino().__version__)

    def facts(self) -> Dict[str, str]:
        """Give nothing: its engines depend on the version alone."""
        return {}

    def build(self, model: Path, profile: TargetProfile, out: Path) -> None:
        """Convert `model` to `out/model.xml` and `out/model.bin`, and see that the CPU takes it.

        Raises:
            UnsupportedError: OpenVINO cannot read or compile it.
        """
        openvino = _import_openvino()
        try:
            graph = shared_core().read_model(model)
            drop_repeats(graph)
            offset_signed_activations(graph)
            _number_nodes(graph)
            openvino.save_model(graph, out / MODEL_NAME, compress_to_fp16=False)
            self._compile(out, profile)
        except RuntimeError as exc:
            raise UnsupportedError(
                f"OpenVINO cannot run {model}: {_first_line(exc)}",
                hint="`pipeline check` says which operators are in the way.",
            ) from exc

    @contextmanager
    def open(self, engine: Path, profile: TargetProfile) -> "Iterator[Infer]":
        """Compile `engine/model.xml` for this CPU.

        Raises:
            ModelError: There is none, or it is truncated.
        """
        import numpy as np

        openvino = _import_openvino()
        if not (engine / MODEL_NAME).is_file() or not (engine / WEIGHTS_NAME).is_file():
            raise ModelError(
                f"{engine} is no OpenVINO engine: {MODEL_NAME} or {WEIGHTS_NAME} is missing.",
                hint="Build it again.",
            )
        try:
            request = self._compile(engine, profile).create_infer_request()
        except RuntimeError as exc:
            raise ModelError(
                f"OpenVINO cannot load {engine}: {_first_line(exc)}", hint="Build it again."
            ) from exc

        def infer(images: "Images") -> "Output":
            held = np.ascontiguousarray(images)  # the tensor does not keep its memory alive
            try:
                # Tensors in and out by hand: the call that takes an array costs 50 us more.
                request.set_input_tensor(openvino.Tensor(held, shared_memory=True))
                request.infer()
            except RuntimeError as exc:
                raise ModelError(
                    f"OpenVINO cannot run {engine} on {images.shape}: {_first_line(exc)}",
                    hint="The picture must have the size that model.json says.",
                ) from exc
            output: Output = request.get_output_tensor(0).data.copy()
            return output

        yield infer

    @staticmethod
    def _compile(engine: Path, profile: TargetProfile) -> Any:
        core = shared_core()
        return core.compile_model(core.read_model(engine / MODEL_NAME), _DEVICE, _settings(profile))


@lru_cache(maxsize=None)
def shared_core() -> Any:
    """Give the only `Core` of this process, which is never let go.

    OpenVINO's CPU plugin puts a signal stack of its own in place, and the one before back when it goes. If
    the first of two plugins goes first, the second puts back a stack that is gone, and the next signal that
    Python handles (Ctrl-C, the end of a child) is a segmentation fault; seen with 2026.4.1.

    Raises:
        EvidenceError: OpenVINO is not installed.
    """
    return _import_openvino().Core()


def _settings(profile: TargetProfile) -> "Dict[str, Any]":
    settings: Dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # The default is bfloat16 where the CPU has it, and the engine would not be what the ladder says.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if profile.threads:
        settings["INFERENCE_NUM_THREADS"] = profile.threads
    return settings


def _number_nodes(graph: Any) -> None:
    """Name the nodes that OpenVINO added after their place: its counter would make every build another."""
    for place, node in enumerate(graph.get_ordered_ops()):
        if re.fullmatch(rf"{node.get_type_name()}_\d+", node.get_friendly_name()):
            node.set_friendly_name(f"{node.get_type_name()}_{place}")


_WHERE = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't", "Summary", "While validating")


def _first_line(exc: RuntimeError) -> str:
    """Give the first line that says what happened; those before it say where."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(_WHERE)]
    return (told or lines or ["no reason given"])[0]


def _import_openvino() -> Any:
    try:
        import openvino
    except ImportError as exc:
        raise EvidenceError("OpenVINO is not installed here.", hint="pip install 'edgebound[cpu]'") from exc
    return openvino
