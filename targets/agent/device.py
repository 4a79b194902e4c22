"""What the agent does with released engines: pull, verify, detect."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Mapping

from targets.errors import UsageError
from targets.trust.policy import Policy, find_policy


def pull(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Put the engine of a release that fits this board in place, or the previous one again.

    Raises:
        UsageError: Both are asked for, or neither.
        EdgeboundError: As `targets.release.pull`.
    """
    from targets.registry.access import Access
    from targets.registry.reference import parse_reference
    from targets.release.pull import Order, go_back
    from targets.release.pull import pull as bring
    from targets.told import describe, name, summarize

    if options.previous == bool(options.reference):
        raise UsageError("Name a release, or --previous; one of the two.", hint="See --help.")
    policy = _policy(options, environment)
    if options.previous:
        facts = go_back(options.folder, policy)
        _tell(options, f"Back to {name(facts)}.", {"schema": 1, "facts": asdict(facts)})
        return 0
    order = Order(
        reference=parse_reference(options.reference),
        folder=options.folder,
        policy=policy,
        access=Access(environment=environment, ca=options.ca, plain_http=tuple(options.plain_http)),
        now=datetime.now(timezone.utc),
        target=options.target,
        channel=options.channel,
        allow_older=options.allow_older,
        root=options.sysroot,
        said=_say,
    )
    pulled = bring(order)
    _tell(options, describe(pulled), summarize(pulled))
    return 0


def verify(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Say whether a release is what was signed and does what it was judged by; give the exit code."""
    from targets.prove import CODES, Audit, prove, timed, worst
    from targets.told import describe_check, summarize_checks

    policy = _policy(options, environment)
    now = datetime.now(timezone.utc)
    audit = Audit(options.folder, policy, now, timed(options.seconds), options.sysroot)
    checks = prove(audit, lambda check: _say(describe_check(check)))
    if options.json:
        _print(summarize_checks(checks))
    return CODES[worst(checks)]


def detect(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Look at a source; give the exit code."""
    from targets.watcher import Watch, describe, line_of, say_now_and_then, summarize, watch

    asked = Watch(
        engine=options.folder,
        source=options.source,
        conf=options.conf,
        names=tuple(options.names),
        live=options.live,
        limit=options.limit,
        save=options.save,
        trust=find_policy(options.trust, environment),
        allow_unsigned=options.allow_unsigned,
    )
    each = (lambda *seen: _print(line_of(*seen))) if options.json else say_now_and_then(_say)
    tally = watch(asked, each, lambda error: _say(f"left out: {error.what}"))
    _tell(options, describe(tally), summarize(tally))
    return 1 if tally.broken else 0


def _policy(options: argparse.Namespace, environment: Mapping[str, str]) -> Policy:
    from targets.release.check import needed

    return needed(find_policy(options.trust, environment))


def _tell(options: argparse.Namespace, text: str, record: Mapping[str, object]) -> None:
    _say(text)
    if options.json:
        _print(record)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print(record: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()
