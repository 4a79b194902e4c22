"""Releases to pull: small, real, signed; whatever a test wants wrong with one is wrong from the beginning."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import onnx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from onnx import numpy_helper, parser

from pipeline.signing import attach, sign_files
from targets.detector import Detector
from targets.engine import write_manifest
from targets.folder import file_names
from targets.host import describe_host
from targets.model import InputSpec, ModelSpec
from targets.profile import RuntimeName, TargetProfile
from targets.registry.artifact import Package, files_of, find, push, push_index
from targets.registry.content import INDEX_TYPE, Descriptor, Manifest
from targets.registry.repository import Repository
from targets.release.expected import Expected, ExpectedBox, ExpectedPicture, Tolerance
from targets.release.expected import dump as dump_expected
from targets.release.facts import ENGINE_TYPE, RELEASE_TYPE, ReleaseFacts, annotations
from targets.release.facts import dump as dump_facts
from targets.runtimes import find_runtime
from targets.trust.p256 import PublicKey, read_pem
from targets.trust.policy import Policy, TrustedKey, dump_policy

NOW = datetime(2026, 11, 26, 2, 0, tzinfo=timezone.utc)
SIDE = 32
# A lamp in the middle of every picture, the surer the brighter it is; never a hole.
_LAMP = f"""<ir_version: 8, opset_import: ["": 17]>
lamps (float[1, 3, {SIDE}, {SIDE}] images) => (float[1, 6, 1] output0) {{
    mean = ReduceMean <axes = [1, 2, 3], keepdims = 0> (images)
    score = Reshape (mean, one)
    output0 = Concat <axis = 1> (box, nothing, score)
}}"""


class Key:
    """A key that signs."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        text = self._private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._public = read_pem(text.decode())

    @property
    def public(self) -> PublicKey:
        return self._public

    @property
    def key_id(self) -> str:
        return self._public.id

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message, ec.ECDSA(hashes.SHA256()))

    def trusted(self, until: str = "") -> TrustedKey:
        return TrustedKey(id=self.key_id, pem=self._public.pem, valid_until=until)

    def policy(self, *channels: str, until: str = "") -> Policy:
        return Policy(keys=(self.trusted(until),), channels=dict.fromkeys(channels or ("*",), (self.key_id,)))


KEY, STRANGER = Key(), Key()


def write_policy(path: Path, policy: Policy) -> Path:
    path.write_text(dump_policy(policy))
    return path


def make_engine(folder: Path, name: RuntimeName = "onnxruntime") -> Path:
    """Build a lamp detector; the engine's folder is as a run leaves it."""
    model = parser.parse_model(_LAMP)
    constants = {
        "one": np.array([1, 1, 1]),
        "box": np.array([16, 16, 8, 8], np.float32).reshape(1, 4, 1),
        "nothing": np.zeros((1, 1, 1), np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    folder.mkdir(parents=True)
    onnx.save(model, folder.parent / "lamp.onnx")
    profile = TargetProfile(name="cpu-ort", device="this machine", runtime=name, threads=1)
    runtime = find_runtime(name)
    runtime.build(folder.parent / "lamp.onnx", profile, folder)
    ModelSpec(family="toy", class_names=("hole", "lamp"), input=InputSpec(SIDE, SIDE)).save(folder)
    write_manifest(folder, profile=profile, precision="fp32", runtime_version=runtime.version())
    return folder


def some_facts(**changes: object) -> ReleaseFacts:
    """Give the facts of an engine for this machine."""
    facts = ReleaseFacts(
        name="lamps",
        channel="stable",
        sequence=100,
        run="20261126-010203-abcd",
        created=(NOW - timedelta(days=1)).isoformat(),
        expires="",
        target="cpu-ort",
        runtime="onnxruntime",
        runtime_version=find_runtime("onnxruntime").version(),
        sm="",
        module="",
        machine=describe_host().os.split()[-1],
        jetpack="",
        l4t=(),
        precision="fp32",
        input=(SIDE, SIDE),
        family="toy",
        data_digest="0" * 64,
        map50_95=0.5,
        drift_pt=0.1,
        p50_ms=2.0,
        p99_ms=3.0,
        overrides=(),
        edgebound="0.1.0",
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Recipe:
    """A release with one engine.

    Attributes:
        engine: Its folder.
        facts: Of it.
        said: What the index says of it, if that is something else.
        key: That signs it; None: nobody.
        expected: Changes what it is expected to find.
        spoil: Changes the folder before it is pushed and signed.
        signed: Changes what is signed, by name.
    """

    engine: Path
    facts: ReleaseFacts = field(default_factory=some_facts)
    said: ReleaseFacts | None = None
    key: Key | None = KEY
    expected: Callable[[Expected], Expected] = lambda one: one
    spoil: Callable[[Path], object] = lambda _: None
    signed: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda one: one

    def write(self, folder: Path) -> None:
        """Write all files of the engine's manifest."""
        shutil.copytree(self.engine, folder / "engine")
        (folder / "release.json").write_text(dump_facts(self.facts))
        (folder / "LICENSE").write_text("AGPL-3.0-or-later\n")
        (folder / "MODEL_CARD.md").write_text("# Lamps\n")
        expected = self.expected(expect(self.engine, folder / "proof" / "pictures"))
        (folder / "proof" / "expected.json").write_text(dump_expected(expected))
        self.spoil(folder)

    def push(self, repository: Repository, scratch: Path) -> Descriptor:
        """Push the engine's manifest, signed, and give it as an index lists it."""
        folder = scratch / f"release-{len(list(scratch.iterdir()))}"
        folder.mkdir()
        self.write(folder)
        package = Package(ENGINE_TYPE, {name: folder / name for name in sorted(file_names(folder))})
        pushed = push(repository, package)
        if self.key:
            _, manifest = find(repository, pushed.digest)
            digests = {name: blob.hex for name, blob in files_of(manifest).items()}
            attach(repository, pushed, sign_files("lamps", self.signed(digests), self.key))
        return replace(pushed, annotations=annotations(self.said or self.facts), artifact_type="")


def publish(
    repository: Repository, scratch: Path, *recipes: Recipe, tags: tuple[str, ...] = ("stable",)
) -> Descriptor:
    """Push a release and its tags."""
    index = Manifest(
        INDEX_TYPE,
        artifact_type=RELEASE_TYPE,
        manifests=tuple(recipe.push(repository, scratch) for recipe in recipes),
    )
    return [push_index(repository, index, tag) for tag in tags][-1]


def expect(engine: Path, pictures: Path) -> Expected:
    """Write pictures, and give what the engine finds on them."""
    pictures.mkdir(parents=True)
    found = []
    with Detector.open(engine, allow_unsigned=True) as detector:
        for name, grey in {"bright.png": 200, "dark.png": 10}.items():
            cv2.imwrite(str(pictures / name), np.full((64, 64, 3), grey, np.uint8))
            boxes = detector(cv2.imread(str(pictures / name))).boxes.tolist()
            found.append(ExpectedPicture(name, tuple(_box(*box) for box in boxes)))
        spec = detector.spec
    return Expected(
        conf=spec.conf,
        iou=spec.iou,
        max_det=spec.max_det,
        pictures=tuple(found),
        tolerance=Tolerance(),
        p50_ms=1000.0,
        p99_ms=1000.0,
        host="",
        device="a slow machine",
    )


def _box(left: float, top: float, right: float, bottom: float, score: float, class_id: float) -> ExpectedBox:
    return ExpectedBox((left, top, right, bottom), score, int(class_id))


def rewrite_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
