"""Kit: a folder that holds all a board needs to build, measure and verify the candidates of one target.

```
kit.json         what is in it, each file with its digest; the sha256 of this file is the kit's id
seal.json        a key of the host that made it, with which the agent seals the receipt
agent.pyz        the agent: `python3 agent.pyz run`
models/<id>/     model.onnx and model.json of each candidate, its precision in the graph
pictures/        the validation pictures, in the order of the data set
```
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Mapping, Sequence, Tuple

from targets.engine import EngineFile
from targets.errors import ModelError
from targets.folder import check_files, describe_files, is_safe
from targets.model import FILE_NAME as MODEL_JSON
from targets.profile import Precision, TargetProfile
from targets.record import dump, load, refuse_schema

SCHEMA = 1
FILE_NAME = "kit.json"
SEAL_NAME = "seal.json"
AGENT_NAME = "agent.pyz"
MODEL_NAME = "model.onnx"
JOB_NAME = "job"  # where the agent works, unless it is told another place

_AGAIN = "Write the kit again with `pipeline kit`, and copy it as it is."


@dataclass(frozen=True)
class KitModel:
    """A candidate to build.

    Attributes:
        id: Name of its folder below `models/`, as `int8`.
        precision: That its graph has.
        digest: Of the form, which its engine names as its parent.
    """

    id: str
    precision: Precision
    digest: str = ""


@dataclass(frozen=True)
class BoardWork:
    """How a board is to build, measure and verify.

    Attributes:
        tries: Builds of each engine; the fastest is kept, the spread is reported.
        optimization_level: Of the TensorRT builder, 0 to 5; -1 leaves its own default.
        workspace_mib: Of the TensorRT builder; 0 leaves its own default.
        dla_core: Deep learning accelerator to build for, with fallback to the GPU; -1: the GPU alone.
        runs: Timed inferences of each engine and mode, at least, unless `seconds` are over first.
        seconds: Time for each engine and mode, at most.
        warmup_runs: Untimed inferences before, at least.
        warmup_s: Untimed seconds before, at least.
        streams: Of the throughput mode.
        conf: Score under which a detection is dropped when verifying, 0 to 1.
        iou: Overlap above which NMS drops the weaker box, 0 to 1.
        max_det: Detections kept per picture.
    """

    tries: int = 1
    optimization_level: int = -1
    workspace_mib: int = 0
    dla_core: int = -1
    runs: int = 1000
    seconds: float = 10.0
    warmup_runs: int = 200
    warmup_s: float = 1.0
    streams: int = 2
    conf: float = 0.001
    iou: float = 0.7
    max_det: int = 300


@dataclass(frozen=True)
class Kit:
    """What `kit.json` says.

    Attributes:
        target: As it was asked for, `orin@6.2`.
        profile: Of the target, JetPack release and TensorRT version filled in.
        models: Candidates, in the order in which they are built.
        pictures: Names below `pictures/`, in the order of the data set.
        work: What is to be done.
        agent: sha256 of `agent.pyz`.
        files: All files but `kit.json` and `seal.json`, by name with `/`.
        schema: Version of this file's format.
    """

    target: str
    profile: TargetProfile
    models: Tuple[KitModel, ...]
    pictures: Tuple[str, ...]
    work: BoardWork
    agent: str
    files: Mapping[str, EngineFile]
    schema: int = SCHEMA


def write_kit(  # noqa: PLR0913 — a kit has so many parts
    folder: Path,
    *,
    target: str,
    profile: TargetProfile,
    models: Sequence[Tuple[KitModel, Path]],
    pictures: Sequence[Tuple[str, Path]],
    work: BoardWork,
    agent: bytes,
) -> str:
    """Write a kit; equal arguments give equal bytes.

    Args:
        folder: To be made.
        target: As it was asked for.
        profile: Of the target.
        models: Each with the folder that holds its `model.onnx` and `model.json`.
        pictures: Names below `pictures/`, and the files. If one is no name everywhere, all get numbers.
        work: What is to be done.
        agent: What `targets.agent.archive.make_agent` gave.

    Returns:
        The kit's id.
    """
    folder.mkdir(parents=True)
    (folder / AGENT_NAME).write_bytes(agent)
    for model, source in models:
        place = folder / "models" / model.id
        place.mkdir(parents=True)
        for name in (MODEL_NAME, MODEL_JSON):
            shutil.copyfile(source / name, place / name)
    names = _picture_names(pictures)
    for name, (_, source) in zip(names, pictures):
        path = folder / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
    kit = Kit(
        target=target,
        profile=profile,
        models=tuple(model for model, _ in models),
        pictures=names,
        work=work,
        agent=hashlib.sha256(agent).hexdigest(),
        files=describe_files(folder, but=()),
    )
    (folder / FILE_NAME).write_text(dump(kit), encoding="utf-8")
    return _id(folder)


def write_seal(folder: Path, kit_id: str, key: str) -> None:
    """Give a kit the key with which its receipt is to be sealed, in hex digits."""
    text = json.dumps({"kit": kit_id, "key": key}, sort_keys=True) + "\n"
    (folder / SEAL_NAME).write_text(text, encoding="utf-8")


def open_seal(folder: Path, kit_id: str) -> str:
    """Read the key with which the receipt is to be sealed.

    Raises:
        ModelError: There is none, or it belongs to another kit.
    """
    try:
        record = json.loads((folder / SEAL_NAME).read_text(encoding="utf-8"))
        given, key = str(record["kit"]), str(record["key"])
        bytes.fromhex(key)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ModelError(
            f"{folder / SEAL_NAME} cannot be read: {exc}; a receipt without a seal is refused.",
            hint=_AGAIN,
        ) from exc
    if given != kit_id:
        raise ModelError(f"{folder / SEAL_NAME} belongs to another kit.", hint=_AGAIN)
    return key


def open_kit(folder: Path) -> Tuple[Kit, str]:
    """Read a kit, hold every file against it, and give it with its id.

    Raises:
        ModelError: It is missing, broken or of another format version, or a file is missing, changed, or not
            listed.
    """
    kit = read_kit(folder)
    _refuse_gaps(folder, kit)
    check_files(folder, kit.files, beside=(FILE_NAME, SEAL_NAME, JOB_NAME), error=ModelError, hint=_AGAIN)
    if kit.files[AGENT_NAME].sha256 != kit.agent:
        raise ModelError(f"{folder / FILE_NAME} names another agent than it lists.", hint=_AGAIN)
    return kit, _id(folder)


def read_kit(folder: Path) -> Kit:
    """Read what a kit says, and check none of its files.

    Raises:
        ModelError: It is missing, broken or of another format version.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
        refuse_schema(text, path, SCHEMA, older=_AGAIN, newer=f"Run the {AGENT_NAME} that is in the kit.")
        return load(Kit, text)
    except (OSError, ValueError) as exc:
        raise ModelError(f"{path} cannot be read as a kit: {exc}", hint=_AGAIN) from exc


def _id(folder: Path) -> str:
    return hashlib.sha256((folder / FILE_NAME).read_bytes()).hexdigest()


def _picture_names(pictures: Sequence[Tuple[str, Path]]) -> Tuple[str, ...]:
    names = tuple(name for name, _ in pictures)
    if all(map(is_safe, names)) and len({name.lower() for name in names}) == len(names):
        return names
    return tuple(
        f"{place:06d}{suffix if is_safe('0' + suffix) else ''}"
        for place, suffix in enumerate(PurePosixPath(name).suffix.lower() for name in names)
    )


def _refuse_gaps(folder: Path, kit: Kit) -> None:
    wanted = {AGENT_NAME, *(f"pictures/{name}" for name in kit.pictures)}
    for model in kit.models:
        wanted |= {f"models/{model.id}/{name}" for name in (MODEL_NAME, MODEL_JSON)}
    gaps = sorted(wanted - set(kit.files))
    twice = len({model.id for model in kit.models}) != len(kit.models)
    if gaps or twice or not kit.models or not kit.pictures:
        problem = f"it lacks {gaps[0]}" if gaps else "it has no models, no pictures, or a model twice"
        raise ModelError(f"{folder / FILE_NAME} is no whole kit: {problem}.", hint=_AGAIN)
