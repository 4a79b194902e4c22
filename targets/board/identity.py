"""Which board this is, and what is installed on it."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Tuple

from targets.board.tree import list_folders, read_start, read_text
from targets.host import Host, describe_host, fingerprint
from targets.platforms import load_jetpacks

# NVIDIA's board numbers: Jetson Linux Developer Guide, "Quick Start", list of modules and carrier boards.
_FAMILIES = {"3701": "agx-orin", "3767": "orin-nx", "3668": "xavier-nx", "2888": "agx-xavier", "3834": "thor"}
_NANO_SKUS = ("0003", "0004", "0005")  # of p3767: Orin Nano 8GB, 4GB, and 8GB of the developer kit
_FAMILY_WORDS = (
    ("AGX Orin", "agx-orin"),
    ("Orin NX", "orin-nx"),
    ("Orin Nano", "orin-nano"),
    ("Xavier NX", "xavier-nx"),
    ("AGX Xavier", "agx-xavier"),
    ("Thor", "thor"),
)
_EEPROM_PART = slice(20, 50)  # Jetson Linux Developer Guide, "Jetson EEPROM Layout": 699-level part number
_EEPROM_SIZE = 256  # bytes that the layout describes
_PART = re.compile(r"699-\d(\d{4})-(\d{4})[-0-9A-Z. ]*")
_MODULE = re.compile(r"(?:^|[,+])(p(\d{4})-(\d{4})(?:-super)?)$", re.MULTILINE)
_RELEASE = re.compile(r"R(\d{1,4})\s*\(release\),\s*REVISION:\s*(\d{1,4}(?:\.\d{1,4})*)")
_CORE = re.compile(r"^Package: nvidia-l4t-core\n(?:.+\n)*?Version: (\d+(?:\.\d+)+)", re.MULTILINE)
_MEMORY = re.compile(r"^MemTotal:\s+(\d{1,15}) kB", re.MULTILINE)


@dataclass(frozen=True)
class Identity:
    """A board. What is empty is not known, or not there.

    Attributes:
        model: As the device tree says, `NVIDIA Jetson AGX Orin Developer Kit`.
        module: Family of Jetson modules in the words of a profile, `agx-orin`; empty for what is no Jetson.
        module_id: Part number of the module, `699-13701-0005-500`, from its EEPROM; or `p3701-0005`, from the
            device tree, where only root may read that.
        memory_gb: Of the board, in 10^9 bytes, as the kernel counts: a little less than on the label.
        l4t: Jetson Linux release, `36.4.3`.
        jetpack: JetPack release that this L4T belongs to, `6.2`.
        os: Kernel's name, release and machine.
        python: Version.
        host: Fingerprint, as `targets.host.fingerprint`, which a measurement belongs to. On a Jetson it
            is the same in all power modes.
    """

    model: str
    module: str
    module_id: str
    memory_gb: float
    l4t: str
    jetpack: str
    os: str
    python: str
    host: str


def identify(root: Path = Path("/")) -> Identity:
    """Say which board this is.

    Args:
        root: Where `proc`, `sys` and `etc` are found.
    """
    host = describe_host(root)
    l4t = read_l4t(root)
    model = _first(root, "proc/device-tree/model", "sys/firmware/devicetree/base/model")
    module_id = _read_part(root) or _module_in_tree(root)
    module = find_family(module_id, model) if l4t or module_id else ""
    memory = _MEMORY.search(read_text(root / "proc/meminfo"))
    memory_gb = int(memory.group(1)) * 1024 / 1e9 if memory else 0.0
    return Identity(
        model=model or _first(root, "sys/devices/virtual/dmi/id/product_name"),
        module=module,
        module_id=module_id,
        memory_gb=round(memory_gb, 2),
        l4t=l4t,
        jetpack=find_jetpack(l4t),
        os=host.os,
        python=host.python,
        host=_fingerprint(host, module, l4t, memory_gb),
    )


def is_jetson(root: Path) -> bool:
    """Say whether this is a Jetson, even one whose module or release is not known."""
    return "nvidia,tegra" in _compatible(root) or (root / "etc/nv_tegra_release").exists()


def read_l4t(root: Path) -> str:
    """Read the release of Jetson Linux, `36.4.3`; empty where there is none."""
    found = _RELEASE.search(read_text(root / "etc/nv_tegra_release"))
    if found:
        return parse_release(*found.groups())
    package = _CORE.search(read_text(root / "var/lib/dpkg/status"))
    return package.group(1) if package else ""


def parse_release(major: str, revision: str) -> str:
    """Give a release in three figures, as JetPack's table has it: revision `4` of R36 is 36.4.0."""
    figures = [major, *revision.split("."), "0"]
    return ".".join(str(int(figure)) for figure in figures[:3])


def find_jetpack(l4t: str) -> str:
    """Give the JetPack release of an L4T release; empty if none is known."""
    releases = load_jetpacks().values()
    return next((one.release for one in releases if l4t and l4t in one.l4t), "")


def find_family(module_id: str, model: str) -> str:
    """Give the family of a module, by its part number or else by the model's name; empty for a stranger."""
    number = _PART.match(module_id) or re.match(r"p(\d{4})-(\d{4})", module_id)
    if number and number.group(1) in _FAMILIES:
        board, sku = number.groups()
        return "orin-nano" if board == "3767" and sku in _NANO_SKUS else _FAMILIES[board]
    return next((family for words, family in _FAMILY_WORDS if words in model), "")


def _read_part(root: Path) -> str:
    """Read the part number from the module's EEPROM, which often only root may read."""
    for eeprom in list_folders(root / "sys/bus/i2c/devices", "*-0050/eeprom"):
        found = _PART.match(read_start(eeprom, _EEPROM_SIZE)[_EEPROM_PART].decode("ascii", "replace"))
        if found and found.group(1) in _FAMILIES:
            return found.group().strip()
    return ""


def _module_in_tree(root: Path) -> str:
    """Give the module that the device tree is for, `p3701-0005`; carrier boards have numbers too."""
    numbers = [found.groups() for found in _MODULE.finditer(_compatible(root))]
    return next((name for name, board, _ in numbers if board in _FAMILIES), "")


def _compatible(root: Path) -> str:
    return _first(root, "proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible")


def _first(root: Path, *places: str) -> str:
    texts = (read_text(root / place) for place in places)
    return next((text for text in texts if text), "")


def _fingerprint(host: Host, module: str, l4t: str, memory_gb: float) -> str:
    """Leave out what a power mode changes: governors, and how many cores are on."""
    if not module:
        return fingerprint(host)
    lasting: Tuple[object, ...] = (asdict(replace(host, governor="", cores=0)), module, l4t, round(memory_gb))
    return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:12]
