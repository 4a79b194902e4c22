"""What boards have below `/`, as far as it is read here: path → text, for fixtures.

Layouts and spellings: rbonghi/jetson_stats, jtop/core/{gpu,power,memory,fan,temperature,jetson_variables}.py,
issues 711 and 772 (Thor: release file, compatible, part number), pull request 905 (soctherm_oc, JetPack 7);
Jetson Linux Developer Guide, "Platform Power and Performance" and "Jetson EEPROM Layout". Figures are made up
within what such boards show. All are in their fastest mode, with jetson_clocks on, and idle.
"""

from collections.abc import Mapping
from pathlib import Path

Tree = Mapping[str, str]

_EEPROM = "\x02\0\xfe" + "\0" * 17  # before the part number


def write_tree(root: Path, tree: Tree) -> Path:
    """Write a tree; what lies in a `bin` becomes executable."""
    for name, text in tree.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("latin-1"))
        if file.parent.name in ("bin", "sbin"):
            file.chmod(0o755)
    return root


def nvpmodel(name: str, number: int, *, warning: str = "") -> Tree:
    """Give a `nvpmodel` that answers to `-q`."""
    said = f"{warning}NV Power Mode: {name}\n{number}\n"
    return {"usr/sbin/nvpmodel": f"#!/bin/sh\n[ \"$*\" = -q ] || exit 1\ncat <<'END'\n{said}END\n"}


def modes(**known: int) -> Tree:
    """Give an `nvpmodel.conf`; names that begin with a digit come with an underscore before."""
    lines = "".join(
        f"< POWER_MODEL ID={number} NAME={name.lstrip('_')} >\nGPU MAX_FREQ -1\n"
        for name, number in known.items()
    )
    return {"etc/nvpmodel.conf": f"# < POWER_MODEL ID=9 NAME=COMMENT >\n{lines}< PM_CONFIG DEFAULT=0 >\n"}


def devfreq(name: str, maximum: int, *, governor: str = "nvhost_podgov", load: str = "0") -> Tree:
    """Give a locked clock."""
    folder = f"sys/class/devfreq/{name}"
    tree = {f"{folder}/{kind}_freq": f"{maximum}\n" for kind in ("cur", "min", "max")}
    return {**tree, f"{folder}/governor": f"{governor}\n", f"{folder}/device/load": f"{load}\n"}


def cpus(maxima: Mapping[int, int], *, governor: str = "schedutil") -> Tree:
    """Give locked CPUs; kHz by number."""
    tree = {}
    for cpu, maximum in maxima.items():
        folder = f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        tree.update({f"{folder}/scaling_{kind}_freq": f"{maximum}\n" for kind in ("cur", "min", "max")})
        tree[f"{folder}/scaling_governor"] = f"{governor}\n"
    return tree


def zones(limit: int, **temperatures: str) -> Tree:
    """Give zones, millidegrees by type (`_` for `-`), each with a trip for the fan and one that throttles."""
    tree = {}
    for number, (kind, temperature) in enumerate(temperatures.items()):
        zone = f"sys/class/thermal/thermal_zone{number}"
        tree[f"{zone}/type"] = kind.replace("_", "-") + "\n"
        tree[f"{zone}/temp"] = temperature
        tree.update({f"{zone}/trip_point_0_type": "active\n", f"{zone}/trip_point_0_temp": "51000\n"})
        tree.update({f"{zone}/trip_point_1_type": "passive\n", f"{zone}/trip_point_1_temp": f"{limit}\n"})
    return tree


def cooling(*kinds: str) -> Tree:
    """Give cooling devices at rest; the fan is on."""
    tree = {}
    for number, kind in enumerate(kinds):
        folder = f"sys/class/thermal/cooling_device{number}"
        tree.update({f"{folder}/type": f"{kind}\n", f"{folder}/max_state": "10\n"})
        tree[f"{folder}/cur_state"] = "3\n" if "fan" in kind else "0\n"
    return tree


def monitor(address: str, hwmon: int, *rails: tuple[str, int, int]) -> Tree:
    """Give an INA3221: name, millivolts and milliamperes of its rails; channel 7 sums its shunts."""
    device = f"sys/bus/i2c/devices/{address}"
    folder = f"{device}/hwmon/hwmon{hwmon}"
    tree = {f"{device}/name": "ina3221\n", f"{folder}/name": "ina3221\n"}
    for number, (name, millivolts, milliamperes) in enumerate(rails, start=1):
        tree[f"{folder}/in{number}_label"] = f"{name}\n"
        tree[f"{folder}/in{number}_input"] = f"{millivolts}\n"
        tree[f"{folder}/curr{number}_input"] = f"{milliamperes}\n"
    return {**tree, f"{folder}/in7_label": "sum of shunt voltages\n", f"{folder}/in7_input": "6\n"}


def hwmon(number: int, name: str, **files: str) -> Tree:
    folder = f"sys/class/hwmon/hwmon{number}"
    return {f"{folder}/name": f"{name}\n", **{f"{folder}/{file}": text for file, text in files.items()}}


def memory(total_kb: int, available_kb: int) -> Tree:
    return {
        "proc/meminfo": f"MemTotal:       {total_kb} kB\nMemFree: 1 kB\nMemAvailable:   {available_kb} kB\n"
    }


def release(major: int, revision: str) -> Tree:
    text = (
        f"# R{major} (release), REVISION: {revision}, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: "
    )
    return {"etc/nv_tegra_release": f"{text}Fri Aug 22 00:55:42 UTC 2025\n# KERNEL_VARIANT: oot\n"}


def tree_of(model: str, *compatible: str) -> Tree:
    """Give the device tree, whose strings end with a zero byte."""
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": "".join(f"{one}\0" for one in compatible),
    }


def eeprom(bus: int, part: str) -> Tree:
    return {f"sys/bus/i2c/devices/{bus}-0050/eeprom": (_EEPROM + part).ljust(256, "\xff")}


_OC = {"oc1_event_cnt": "0\n", "oc2_event_cnt": "0\n", "oc3_event_cnt": "0\n", "oc1_throt_en": "1\n"}
_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"

AGX_ORIN_JETPACK5: Tree = {
    **release(35, "4.1"),
    **tree_of("NVIDIA Jetson AGX Orin Developer Kit", "nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"),
    **eeprom(0, "699-13701-0005-500 J.0"),
    **memory(64349608, 60000000),
    **modes(MAXN=0, MODE_15W=1, MODE_30W=2, MODE_50W=3),
    **nvpmodel("MAXN", 0, warning="NVPM WARN: fan mode is not set!\n"),
    **devfreq("17000000.ga10b", 1300500000),
    **devfreq("15340000.vic", 729600000),
    **cpus(dict.fromkeys(range(12), 2201600)),
    f"{_EMC}/rate": "3199000000\n",
    f"{_EMC}/min_rate": "204000000\n",
    f"{_EMC}/max_rate": "3199000000\n",
    "sys/kernel/nvpmodel_emc_cap/emc_iso_cap": "0\n",
    **zones(99000, CPU_therm="47500", GPU_therm="44000", CV0_therm="-256000", tj_therm="47500"),
    **cooling("pwm-fan", "cpu-throttle-alert", "gpu-throttle-alert", "hot-surface-alert", "17000000.ga10b"),
    **hwmon(0, "pwmfan", pwm1="255\n"),
    **hwmon(1, "soctherm_oc", **_OC),
    **monitor(
        "1-0040", 3, ("VDD_GPU_SOC", 19000, 200), ("VDD_CPU_CV", 19000, 100), ("VIN_SYS_5V0", 5000, 900)
    ),
    **monitor("1-0041", 4, ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 100), ("NC", 0, 0)),
    "proc/1/comm": "systemd\n",
}
ORIN_NANO_JETPACK6: Tree = {  # Super; debugfs and the EEPROM are for root
    **release(36, "4.3"),
    **tree_of(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        *("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
    ),
    **memory(7802888, 6400000),
    **modes(_15W=0, _25W=1, MAXN_SUPER=2, _7W=3),
    **nvpmodel("MAXN_SUPER", 2),
    **devfreq("17000000.gpu", 1020000000),
    **cpus(dict.fromkeys(range(6), 1728000)),
    **zones(99000, cpu_thermal="48000", gpu_thermal="47000", cv0_thermal="-256000", tj_thermal="48000"),
    **cooling("pwm-fan", "cpufreq-cpu0", "devfreq-17000000.gpu", "hot-surface-alert"),
    **hwmon(2, "pwmfan", pwm1="128\n"),
    **hwmon(0, "soctherm_oc", **_OC),
    **monitor("1-0040", 1, ("VDD_IN", 5000, 1000), ("VDD_CPU_GPU_CV", 5000, 300), ("VDD_SOC", 5000, 250)),
}
THOR_JETPACK7: Tree = {
    **release(38, "2.0"),
    **tree_of(
        "NVIDIA Jetson AGX Thor Developer Kit",
        *("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
    ),
    **eeprom(1, "699-13834-0008-400 G.5"),
    **memory(128825804, 120000000),
    **modes(MAXN=0, _120W=1, _70W=2),
    **nvpmodel("MAXN", 0),
    **devfreq("gpu-gpc-0", 1575000000),
    **devfreq("gpu-nvd-0", 1692000000),
    **devfreq("bwmgr", 4266000000),
    **cpus(dict.fromkeys(range(14), 2601000)),
    **zones(105000, cpu_thermal="40000", gpu_thermal="41000", tj_thermal="41000"),
    **cooling("pwm-fan", "thermal-devfreq-0"),
    **hwmon(4, "pwm-fan", pwm1="77\n"),
    **hwmon(5, "soctherm_oc", **_OC),
    **monitor(
        "2-0040", 6, ("VDD_GPU", 12000, 500), ("VDD_CPU_SOC_MSS", 12000, 400), ("VIN_SYS_5V0", 5000, 300)
    ),
}
AGX_ORIN_JETPACK7: Tree = {
    **AGX_ORIN_JETPACK5,
    **release(39, "2.0"),
    **tree_of(
        "NVIDIA Jetson AGX Orin Developer Kit",
        *("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
    ),
    **devfreq("17000000.gpu", 1300500000),
}
AGX_ORIN_JETPACK7 = {name: text for name, text in AGX_ORIN_JETPACK7.items() if "ga10b" not in name}

X86_CPU: Tree = {
    "proc/cpuinfo": "model name\t: AMD EPYC 7543\nflags\t\t: avx2\n",
    "sys/devices/virtual/dmi/id/product_name": "PowerEdge R7525\n",
    **memory(263856000, 250000000),
    **cpus({0: 3700000, 1: 3700000}, governor="performance"),
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "2\n",
    "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "1\n",
    **zones(95000, x86_pkg_temp="52000"),
    **cooling("Processor", "intel_powerclamp"),
}


def nvidia_smi(line: str) -> Tree:
    """Give an `nvidia-smi` that answers with a line to every query."""
    return {"usr/bin/nvidia-smi": f"#!/bin/sh\necho '{line}'\n"}


X86_GPU: Tree = {**X86_CPU, **nvidia_smi("210, 2040, 35, 0, 0x0000000000000001")}

JETSONS: Mapping[str, Tree] = {
    "AGX Orin, JetPack 5": AGX_ORIN_JETPACK5,
    "Orin Nano, JetPack 6": ORIN_NANO_JETPACK6,
    "Thor, JetPack 7": THOR_JETPACK7,
    "AGX Orin, JetPack 7": AGX_ORIN_JETPACK7,
}
