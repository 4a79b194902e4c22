"""A host is what changes latency."""

import dataclasses
import os
from pathlib import Path

from targets.host import Host, describe_host, fingerprint

ORIN = """processor\t: 0
BogoMIPS\t: 62.50
Features\t: fp asimd evtstrm aes asimdrdm dcpop asimddp
CPU implementer\t: 0x41

processor\t: 1
Features\t: fp
"""


def test_this_machine_is_described() -> None:
    host = describe_host()

    assert host.cpu
    assert host.cores == len(os.sched_getaffinity(0))
    assert host.os.startswith("Linux ")


def test_instruction_sets_and_governor_come_from_the_system(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(ORIN)
    cpufreq = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    cpufreq.mkdir(parents=True)
    (cpufreq / "scaling_governor").write_text("schedutil\n")

    host = describe_host(tmp_path)

    assert (host.flags, host.governor) == (("asimd", "asimddp"), "schedutil")


def test_machine_that_tells_nothing_is_described_all_the_same(tmp_path: Path) -> None:
    host = describe_host(tmp_path)

    assert (host.flags, host.governor) == ((), "")
    assert host.cpu


def test_fingerprint_changes_with_the_governor_and_with_nothing_else() -> None:
    host = Host("EPYC", 2, ("avx512_vnni",), "powersave", "Linux 6.1 x86_64", "3.11.2")

    assert fingerprint(host) == fingerprint(dataclasses.replace(host))
    assert fingerprint(host) != fingerprint(dataclasses.replace(host, governor="performance"))
    assert len(fingerprint(host)) == 12
