"""Dates that people write on the command line."""

from __future__ import annotations

from datetime import datetime, timezone

from targets.errors import UsageError


def read_expiry(text: str, now: datetime) -> str:
    """Give a date as a release has it, ISO 8601 in UTC; without a zone UTC is meant.

    Raises:
        UsageError: It is no date, or is past.
    """
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        at = found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, OverflowError) as exc:
        raise UsageError(
            f"--expires {text} is no date: {exc}.", hint="Write 2027-06-30 or 2027-06-30T12:00:00Z."
        ) from exc
    if at <= now:
        raise UsageError(f"--expires {text} is past.", hint="Devices refuse a release that has expired.")
    return at.isoformat(timespec="seconds")
