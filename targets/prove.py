"""Prove: that a release on this device is what was signed, finds what it was judged by, and is as fast."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple

from targets.board.identity import Identity, identify
from targets.board.state import doubts, read_state
from targets.errors import DataError, EdgeboundError, EvidenceError, UsageError
from targets.kit import BoardWork
from targets.latency import interval, noise, percentile, time_in_turns
from targets.release.check import Release, check_all_files, check_signature
from targets.release.differ import differ
from targets.release.expected import PICTURES, Expected, read_expected
from targets.release.facts import ReleaseFacts, has_expired
from targets.release.place import find_place
from targets.trust.policy import Policy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["pass", "refuse", "inconclusive", "error"]
CODES: Mapping[Verdict, int] = {"error": 1, "refuse": 3, "inconclusive": 4, "pass": 0}
"""Exit code of each; the worst first, which is what counts."""
_MOST_SAID = 3


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: `signature`, `files`, `outputs` or `latency`.
        verdict: On it.
        said: What was found.
        hint: What to do about it; empty if nothing.
    """

    name: str
    verdict: Verdict
    said: str
    hint: str = ""


@dataclass(frozen=True)
class Audit:
    """What is asked.

    Attributes:
        folder: That was pulled to, or a release in it.
        policy: Whom this machine trusts.
        now: With its time zone.
        work: How long to time.
        root: Where the device's `proc`, `sys` and `etc` are.
    """

    folder: Path
    policy: Policy
    now: datetime
    work: BoardWork
    root: Path = Path("/")


def timed(seconds: float) -> BoardWork:
    """Say how an engine is timed within so many seconds."""
    return BoardWork(runs=1000, seconds=seconds, warmup_runs=20, warmup_s=min(seconds, 1.0))


def worst(checks: Sequence[Check]) -> Verdict:
    """Give the verdict on all."""
    return min((check.verdict for check in checks), key=list(CODES).index, default="error")


def prove(audit: Audit, told: Callable[[Check], None]) -> Tuple[Check, ...]:
    """Check a release, one thing after another; after an error nothing more.

    Args:
        audit: What is asked.
        told: Of each check, once it is done.

    Raises:
        UsageError: There is no release.
    """
    folder = find_place(audit.folder).release
    if folder is None:
        raise UsageError(
            f"{audit.folder} holds no release.", hint="Name a folder that `pipeline pull -o` wrote to."
        )
    checks: List[Check] = []
    for check in _checks(folder, audit):
        checks.append(check)
        told(check)
        if check.verdict == "error":
            break
    return tuple(checks)


def _checks(folder: Path, audit: Audit) -> Iterator[Check]:
    found: List[Release] = []
    yield _guarded("signature", lambda: _check_signature(folder, audit, found))
    (release,) = found
    yield _guarded("files", lambda: _check_files(release))
    expected = read_expected(folder)
    yield _guarded("outputs", lambda: _check_outputs(folder, expected))
    yield _guarded("latency", lambda: _check_latency(release, expected, audit))


def _guarded(name: str, check: "Callable[[], Check]") -> Check:
    """Make a check; what cannot be told for want of something here is inconclusive, all else an error."""
    try:
        return check()
    except EvidenceError as exc:
        return Check(name, "inconclusive", exc.what, exc.hint)
    except EdgeboundError as exc:
        return Check(name, "error", exc.what, exc.hint)


def _check_signature(folder: Path, audit: Audit, found: List[Release]) -> Check:
    release = check_signature(folder, audit.policy, audit.now)
    facts, key = release.facts, release.signed.key_id[:16]
    if has_expired(facts, audit.now):
        return Check(
            "signature",
            "error",
            f"The release expired on {facts.expires}; the clock here says {audit.now:%Y-%m-%d %H:%M} UTC.",
            "Pull a newer one. Is the clock right?",
        )
    found.append(release)
    return Check(
        "signature",
        "pass",
        f"{facts.name}, channel {facts.channel}, sequence {facts.sequence}, key {key}…",
    )


def _check_files(release: Release) -> Check:
    return Check("files", "pass", f"{check_all_files(release)} files are the ones that were signed")


def _check_outputs(folder: Path, expected: Expected) -> Check:
    from targets.detector import Detector

    if not expected.pictures:
        return Check("outputs", "inconclusive", "The release ships no pictures.", "Release it with some.")
    differences: List[str] = []
    boxes = 0
    with Detector.open(
        folder / "engine",
        conf=expected.conf,
        iou=expected.iou,
        max_det=expected.max_det,
        allow_unsigned=True,  # its signature was verified a moment ago, and so was every file
    ) as detector:
        for picture in expected.pictures:
            found = detector(_read_picture(folder / PICTURES / picture.name))
            boxes += len(picture.boxes)
            differences += [f"{picture.name}: {one}" for one in differ(picture, found, expected)]
    if differences:
        more = f"; {len(differences) - _MOST_SAID} more" if len(differences) > _MOST_SAID else ""
        return Check(
            "outputs",
            "refuse",
            f"The engine finds something else here: {'; '.join(differences[:_MOST_SAID])}{more}",
            "Is this the device that the engine was built for? Build and judge it here.",
        )
    tolerance = expected.tolerance
    return Check(
        "outputs",
        "pass",
        f"{boxes} boxes on {len(expected.pictures)} pictures, as expected"
        f" (IoU ≥ {tolerance.iou:g}, scores within {tolerance.score:g})",
    )


def _read_picture(path: Path) -> "NDArray[np.uint8]":
    import cv2

    picture: Optional[NDArray[np.uint8]] = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{path} cannot be read as a picture.", hint="OpenCV here has no decoder for it.")
    return picture


def _check_latency(release: Release, expected: Expected, audit: Audit) -> Check:
    if expected.p50_ms is None:
        return Check(
            "latency", "inconclusive", "The release states no latency.", "Release it with a receipt."
        )
    samples, steady = _time(release.folder / "engine", audit.work)
    low, high = interval(samples, 0.5)
    limit = expected.p50_ms * expected.tolerance.latency_factor
    said = (
        f"p50 {percentile(samples, 0.5):.2f} ms ({low:.2f} to {high:.2f}); it took {expected.p50_ms:.2f} ms"
        f" on {expected.device or 'another machine'}, up to {limit:.2f} ms are allowed"
    )
    if high <= limit:
        return Check("latency", "pass", said)
    reason, hint = _excuse(release.facts, expected, audit.root, noise(samples, steady=steady))
    if reason or low <= limit:
        return Check("latency", "inconclusive", f"{said}; {reason or 'it is too near to tell'}", hint)
    return Check("latency", "refuse", said, "Does something else run, or is the power mode another one?")


def _excuse(facts: ReleaseFacts, expected: Expected, root: Path, noisy: str) -> Tuple[str, str]:
    """Say why a slow answer proves nothing, and what to do; empty if it does."""
    identity = identify(root)
    if not _is_alike(facts, expected, identity):
        return "this is another kind of machine than the one that was timed", "Run the pipeline here to know."
    if noisy:
        return noisy, "Stop what else the machine does, and try again."
    state = read_state(root)
    for doubt in doubts(state, state, fastest_mode=""):
        return doubt.reason, doubt.command
    return "", ""


def _is_alike(facts: ReleaseFacts, expected: Expected, identity: Identity) -> bool:
    """Say whether a machine is like the one that was timed: the same, or of the same module and JetPack."""
    if facts.module:
        return (identity.module, identity.jetpack) == (facts.module, facts.jetpack)
    return bool(expected.host) and expected.host == identity.host


def _time(engine: Path, work: BoardWork) -> Tuple[Tuple[float, ...], bool]:
    """Time calls with one picture; give them in milliseconds, and whether they took a steady time."""
    import numpy as np

    from targets.engine import open_engine
    from targets.model import load_model_spec
    from targets.runtimes import find_runtime

    manifest, size = open_engine(engine), load_model_spec(engine).input
    image = np.random.default_rng(0).random((1, 3, size.height, size.width), np.float32)
    with find_runtime(manifest.runtime).open(engine, manifest.profile) as infer:
        (timing,) = time_in_turns([infer], [image], work, progress=lambda _done, _total: None)
    return timing.latency.samples, timing.steady
