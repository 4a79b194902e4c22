"""Support: what a target cannot do, said before anything is spent on it."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.config import Config
from pipeline.speed import is_told
from stages.check import Checked
from targets.errors import UnsupportedError, UsageError
from targets.profile import TargetProfile


def refuse_impossible(config: Config, profiles: Iterable[TargetProfile]) -> None:
    """See that each target can have the precision that is to ship, and the latency that is asked for.

    Raises:
        UsageError: One cannot, or nobody could tell.
    """
    wish = config.build.precision
    for profile in profiles:
        if _aims_at_latency(config) and not is_told(profile):
            raise UsageError(
                f"`prune.target_latency_ms`: nobody can tell the latency on {profile.name}, which is not"
                " here, and whose profile has no `rates`.",
                hint="Add rates (fp16_tflops, int8_tops, bandwidth_gb_s) to it, or set prune.target_gmac.",
            )
        if wish not in ("auto", *profile.precisions):
            raise UsageError(
                f"`build.precision: {wish}`, but {profile.name} has {', '.join(profile.precisions)}.",
                hint="Set it to one of these, or to auto.",
            )


def _aims_at_latency(config: Config) -> bool:
    return config.prune is not None and config.prune.target_latency_ms is not None


def warnings(checked: Checked, profile: TargetProfile) -> tuple[str, ...]:
    """Give what does not keep the target from running the model, but is worth knowing."""
    return tuple(
        f"check for {profile.name}: {finding.op} {finding.node}: {finding.reason} {finding.remedy}".strip()
        for finding in checked.findings
        if finding.severity == "warning"
    )


def refuse_unsupported(checked: Checked, profile: TargetProfile) -> None:
    """Stop where an operator is missing.

    Raises:
        UnsupportedError: With all operators that are.
    """
    missing = [finding for finding in checked.findings if finding.severity == "error"]
    if missing:
        first = missing[0]
        names = ", ".join(sorted({finding.op for finding in missing}))
        raise UnsupportedError(
            f"{profile.name} cannot run this model ({names}): {first.node}: {first.reason}", hint=first.remedy
        )
