"""ONNX Runtime on the CPU: runs the ONNX file itself, so building is a copy."""

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Iterator, Tuple, Type

from targets.errors import EdgeboundError, EvidenceError, ModelError, UnsupportedError
from targets.profile import TargetProfile

if TYPE_CHECKING:
    from targets.runtime import Images, Infer, Output

MODEL_NAME = "model.onnx"
_ONLY_FATAL = 4  # OrtLoggingLevel: what goes wrong is raised, and told once


class OrtRuntime:
    """ONNX Runtime with its CPU execution provider."""

    def version(self) -> str:
        """Give the version of onnxruntime.

        Raises:
            EvidenceError: It is not installed.
        """
        return str(_import_onnxruntime().__version__)

    def facts(self) -> Dict[str, str]:
        """Give nothing: its engines depend on the version alone."""
        return {}

    def build(self, model: Path, profile: TargetProfile, out: Path) -> None:
        """Copy `model`, which must be one file, to `out/model.onnx`, and see that a session takes it.

        Raises:
            ModelError: It is no ONNX file.
            UnsupportedError: ONNX Runtime cannot run it.
        """
        shutil.copyfile(model, out / MODEL_NAME)
        self._open_session(out, profile)

    @contextmanager
    def open(self, engine: Path, profile: TargetProfile) -> "Iterator[Infer]":
        """Load `engine/model.onnx` into a session.

        Raises:
            ModelError: There is none, or it is no ONNX file.
            UnsupportedError: ONNX Runtime cannot run it.
        """
        session = self._open_session(engine, profile)
        if len(session.get_inputs()) != 1:
            raise ModelError(
                f"{engine / MODEL_NAME} has {len(session.get_inputs())} inputs; a detector has one.",
                hint="Export the model with the picture as its only input.",
            )
        input_name: str = session.get_inputs()[0].name
        output_name: str = session.get_outputs()[0].name

        def infer(images: "Images") -> "Output":
            try:
                output: Output = session.run([output_name], {input_name: images})[0]
            except _session_errors() as exc:
                raise _explain(engine, exc) from exc
            return output

        yield infer

    def _open_session(self, engine: Path, profile: TargetProfile) -> Any:
        onnxruntime = _import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ONLY_FATAL
        options.intra_op_num_threads = profile.threads
        # Else threads spin on after a call and slow down whoever is next: 1.5 times the latency in turns.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            return onnxruntime.InferenceSession(
                str(engine / MODEL_NAME), options, providers=["CPUExecutionProvider"]
            )
        except _session_errors() as exc:
            raise _explain(engine, exc) from exc


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as exc:
        raise EvidenceError(
            "ONNX Runtime is not installed here.", hint="pip install 'edgebound[onnx]'"
        ) from exc
    return onnxruntime


def _session_errors() -> Tuple[Type[Exception], ...]:
    """Give what a session raises: a dozen classes that share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    classes = [value for value in vars(state).values() if isinstance(value, type)]
    return (RuntimeError, ValueError, *(kind for kind in classes if issubclass(kind, Exception)))


def _explain(engine: Path, exc: Exception) -> EdgeboundError:
    reason = " ".join(str(exc).split())
    if type(exc).__name__ in {"InvalidProtobuf", "NoSuchFile"}:
        return ModelError(
            f"{engine / MODEL_NAME} is no ONNX model: {reason}", hint="Export or build it again."
        )
    if type(exc).__name__ == "InvalidArgument":
        return ModelError(
            f"{engine / MODEL_NAME} does not take this picture: {reason}",
            hint="It must have the size that model.json says.",
        )
    return UnsupportedError(
        f"ONNX Runtime cannot run {engine / MODEL_NAME}: {reason}",
        hint="`pipeline check` says which operators are in the way.",
    )
