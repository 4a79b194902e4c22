"""By hand: boards that only a person can reach. A kit goes out, a receipt comes in."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.baseline import load_baseline
from pipeline.conduct import STATE, Request, conduct
from pipeline.config import load_config
from pipeline.fetched import Ways
from pipeline.files import explained
from pipeline.gate import EXIT_CODES
from pipeline.kits import find_order
from pipeline.ladder import RunReport
from pipeline.profiles import find_profiles
from pipeline.request import NO_WAYS
from pipeline.runner import Reporter
from pipeline.store import Store
from targets.archives import pack, unpack
from targets.errors import BudgetError, EdgeboundError, EvidenceError, UnsupportedError, UsageError
from targets.receipt import claimed_kit


def write_kit(request: Request, out: Path, reporter: Reporter) -> Path:
    """Do all that the host can for one target, and write the kit for its board.

    Args:
        request: For one target, until `build`.
        out: A folder to make, or a `.zip` file to write.
        reporter: Who hears how it goes on.

    Raises:
        UsageError: `out` is there already, or the target needs no board.
        UnsupportedError: The target cannot run the model.
        EdgeboundError: Something failed on the way.
    """
    if out.exists():
        raise UsageError(f"{out} is there already.", hint="Remove it, or name another place with --out.")
    (profile,) = request.profiles.values()
    if profile.local:
        raise UsageError(
            f"Engines for {profile.name} are built on this machine; no kit is needed.",
            hint=f"`pipeline run --target {profile.name}` builds, measures and verifies them here.",
        )
    report = conduct(request, reporter)
    (target,) = report.targets.values() or (None,)
    if report.error:
        raise _failure(report.error.code, report.error.what, report.error.hint)
    if target is None or target.kit is None:
        what, hint = (*(target.reasons if target else report.reasons), "")[:2]
        raise _failure(EXIT_CODES[report.verdict], what, hint)
    with explained(out):
        if out.suffix == ".zip":
            pack(Path(target.kit), out)
        else:
            shutil.copytree(target.kit, out, copy_function=shutil.copyfile)
    return out


def _failure(code: int, what: str, hint: str) -> EdgeboundError:
    kinds: dict[int, type[EdgeboundError]] = {3: BudgetError, 4: EvidenceError, 5: UnsupportedError}
    return kinds.get(code, EdgeboundError)(what, hint=hint)


def accept(brought: Path, folder: Path, reporter: Reporter, ways: Ways | None = None) -> RunReport:
    """Judge the run that a receipt belongs to; all that the host did before is cached.

    Args:
        brought: The receipt's folder, or its `receipt.zip`.
        folder: Of the project.
        reporter: Who hears how it goes on.
        ways: To registries, for the shared cache.

    Raises:
        UsageError: There is no such file or folder.
        EvidenceError: The kit is not of this project.
        ModelError: It is no receipt.
    """
    store = Store(folder / STATE)
    store.prepare()
    with TemporaryDirectory(prefix="accept-", dir=store.root / "work") as scratch:
        receipt = _unpacked(brought, Path(scratch) / "receipt")
        order = find_order(store, claimed_kit(receipt))
        profiles = {order.target: find_profiles(order.asked)[order.target]}
        request = Request(
            config=load_config(
                Path(order.config) if order.config else None,
                order.settings,
                demo=order.demo,
                folder=folder,
            ),
            profiles=profiles,
            baseline=load_baseline(folder, order.baseline, profiles) if order.baseline else None,
            folder=folder,
            order=order,
            receipts={order.target: receipt},
            ways=ways or NO_WAYS,
        )
        return conduct(request, reporter)


def _unpacked(brought: Path, scratch: Path) -> Path:
    """Give the receipt's folder, where its files may be linked into the store."""
    if brought.is_dir():
        with explained(scratch):
            return Path(shutil.copytree(brought, scratch))
    if not brought.is_file():
        raise UsageError(
            f"There is no {brought}.", hint="Give the receipt.zip that the agent wrote, or its folder."
        )
    with explained(scratch):
        unpack(brought, scratch)
    return scratch
