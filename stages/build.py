"""Build: an ONNX model becomes an engine for a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from stages.artifact import Artifact
from stages.onnx_files import load_onnx
from stages.stage import Progress
from targets.engine import write_manifest
from targets.model import FILE_NAME as MODEL_JSON
from targets.model import load_model_spec
from targets.profile import Precision, TargetProfile
from targets.runtimes import find_runtime


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """What is built.

    Attributes:
        model: Folder with `model.onnx`, its precision in the graph (design decision D1), and `model.json`.
        profile: Of the target.
    """

    model: Artifact
    profile: TargetProfile


@dataclass(frozen=True, kw_only=True)
class Built:
    """A candidate.

    Attributes:
        engine: The engine's files with `model.json` and `manifest.json`.
        size_bytes: Of the engine's files alone.
    """

    engine: Artifact
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Build:
    """Build one candidate.

    Attributes:
        precision: That the graph has, for the manifest.
    """

    name: ClassVar[str] = "build"
    resumes: ClassVar[bool] = False

    precision: Precision = "fp32"

    def run(self, inputs: BuildInputs, out: Path, progress: Progress) -> Built:
        """Build `out/engine`.

        Raises:
            ModelError: The model is no ONNX file, or none that can be trusted.
            UnsupportedError: The runtime cannot run it.
            EvidenceError: The runtime is not here.
        """
        del progress
        runtime = find_runtime(inputs.profile.runtime)
        load_onnx(inputs.model / "model.onnx")
        engine = out / "engine"
        engine.mkdir()
        runtime.build(inputs.model / "model.onnx", inputs.profile, engine)
        replace(load_model_spec(inputs.model.path), parent_digest=inputs.model.digest).save(engine)
        manifest = write_manifest(
            engine,
            profile=inputs.profile,
            precision=self.precision,
            runtime_version=runtime.version(),
            facts=runtime.facts(),
        )
        size_bytes = sum(file.size for name, file in manifest.files.items() if name != MODEL_JSON)
        return Built(engine=Artifact.of(engine), size_bytes=size_bytes)
