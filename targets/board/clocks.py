"""Clocks of the GPU, the memory and the CPU."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional

from targets.board.tree import list_folders, read_int, read_text

# JetPack 5: 17000000.ga10b (Orin), 17000000.gv11b (Xavier); 6: 17000000.gpu; 7 on Thor: gpu-gpc-0
# (rbonghi/jetson_stats jtop/core/gpu.py, thor_power.py).
_GPU = re.compile(r"(.+\.)?(ga10b|gv11b|gp10b|gpu)|gpu-gpc-0|gpu\.0")
_GPU_NODES = ("ga10b", "gv11b", "gp10b", "gpu")
_DEVFREQ = "sys/class/devfreq"
_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"  # readable by root only
_EMC_CAP = "sys/kernel/nvpmodel_emc_cap/emc_iso_cap"  # 0: none
_KHZ = 1000


@dataclass(frozen=True)
class Clock:
    """A clock domain, in Hz.

    Attributes:
        current: Now.
        minimum: That the governor may go down to.
        maximum: That the present power mode allows.
        governor: Of devfreq or cpufreq.
    """

    current: int
    minimum: int
    maximum: int
    governor: str


def read_clocks(root: Path) -> Mapping[str, Clock]:
    """Read what can be read of `gpu`, `emc`, and `cpu0`, `cpu4` ….

    CPUs whose governors, minimum and maximum are equal count as one domain, named by the first, with the
    lowest of their clocks.
    """
    gpu = find_gpu(root)
    found = {"gpu": read_devfreq(gpu) if gpu else None, "emc": _read_emc(root), **_read_cpus(root)}
    return {domain: clock for domain, clock in found.items() if clock}


def find_gpu(root: Path) -> Optional[Path]:
    """Find the devfreq folder of a Jetson's GPU; None if there is none."""
    folders = list_folders(root / _DEVFREQ, "*")
    return next((one for one in folders if _GPU.fullmatch(one.name) or _is_gpu_node(one)), None)


def read_devfreq(folder: Path) -> Optional[Clock]:
    """Read a devfreq folder; None if a figure cannot be read."""
    figures = [read_int(folder / name) for name in ("cur_freq", "min_freq", "max_freq")]
    return _clock(figures[0], figures[1], figures[2], read_text(folder / "governor"))


def _is_gpu_node(folder: Path) -> bool:
    return read_text(folder / "device/of_node/name") in _GPU_NODES


def _read_emc(root: Path) -> Optional[Clock]:
    """Read the clock of the memory; Thor has it in devfreq, Orin in debugfs."""
    if read_int(root / _DEVFREQ / "bwmgr/cur_freq") is not None:
        return read_devfreq(root / _DEVFREQ / "bwmgr")
    folder = root / _EMC
    current, minimum, maximum = (read_int(folder / name) for name in ("rate", "min_rate", "max_rate"))
    cap = read_int(root / _EMC_CAP)
    if cap and maximum:
        maximum = min(cap, maximum)
    return _clock(current, minimum, maximum, "")


def _read_cpus(root: Path) -> Mapping[str, Clock]:
    domains: Dict[object, str] = {}
    clocks: Dict[str, Clock] = {}
    for folder in list_folders(root / "sys/devices/system/cpu", "cpu[0-9]*"):
        clock = _read_cpu(folder / "cpufreq")
        if clock is None:
            continue
        domain = domains.setdefault((clock.minimum, clock.maximum, clock.governor), folder.name)
        clocks[domain] = min(clock, clocks.get(domain, clock), key=lambda one: one.current)
    return clocks


def _read_cpu(folder: Path) -> Optional[Clock]:
    names = ("scaling_cur_freq", "scaling_min_freq", "scaling_max_freq")
    figures = [
        None if figure is None else figure * _KHZ for figure in (read_int(folder / name) for name in names)
    ]
    return _clock(figures[0], figures[1], figures[2], read_text(folder / "scaling_governor"))


def _clock(
    current: Optional[int], minimum: Optional[int], maximum: Optional[int], governor: str
) -> Optional[Clock]:
    if (
        current is None
        or minimum is None
        or maximum is None
        or min(current, minimum, maximum) < 0
        or not maximum
    ):
        return None
    return Clock(current=current, minimum=minimum, maximum=maximum, governor=governor)
