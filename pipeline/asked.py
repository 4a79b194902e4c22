"""From a command line to a request: configuration, targets and baseline are found before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.baseline import load_baseline
from pipeline.config import load_config
from pipeline.fetched import Ways, local_baseline
from pipeline.kits import Order
from pipeline.profiles import find_profiles
from pipeline.request import Request


def request_of(order: Order, folder: Path, ways: Ways, until: str = "") -> Request:
    """Give the request that an order stands for.

    Args:
        order: As it was asked for; a baseline in a registry is fetched, and from then on is a folder.
        folder: Of the project.
        ways: To registries, and whom to believe.
        until: Last stage to run, or empty.

    Raises:
        UsageError: There is no such target, run or configuration.
        ConfigError: A file is wrong.
        TrustError: Nobody trusted signed the baseline.
        RegistryError: It cannot be fetched.
    """
    profiles = find_profiles(order.asked)
    if order.baseline:
        order = replace(order, baseline=local_baseline(folder, order.baseline, ways))
    return Request(
        config=load_config(
            Path(order.config) if order.config else None, order.settings, demo=order.demo, folder=folder
        ),
        profiles=profiles,
        folder=folder,
        until=until,
        ways=ways,
        baseline=load_baseline(folder, order.baseline, profiles) if order.baseline else None,
        order=order,
    )
