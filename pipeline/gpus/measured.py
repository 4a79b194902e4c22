"""Measured: rates that a training of this model found in its probe, on a card of this project's machines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.gpus.catalogue import Gpu
from pipeline.gpus.predict import Compute
from pipeline.store import Store

TRAIN, PROBE = "stages.train.Train", "stages.train.probe.Probe"
_COMPUTES: Mapping[str, Compute] = {"fp16": "half", "bf16": "half", "tf32": "tf32", "fp32": "fp32"}
_VENDOR = {"nvidia", "geforce", "tesla", "hgx"}
_MEMORY = re.compile(r"\d+gb")
_FORM = re.compile(r"(sxm|pcie)\d*")
_KIND = re.compile(r"hbm\w*")  # of memory


def measured_rates(
    store: Store, gpus: Mapping[str, Gpu], *, weights: str, imgsz: int, compute: Compute
) -> dict[str, float]:
    """Give pictures a second by card, from the newest probe of each.

    Args:
        store: With the steps that were done.
        gpus: That are asked about, by name.
        weights: Digest of what training starts from; another model has another rate.
        imgsz: Side of the input, in pixels; likewise.
        compute: Precision of matrix products.
    """
    records = [entry.record for key in store.step_keys() if (entry := store.find(key))]
    found: dict[str, float] = {}
    for record in sorted(records, key=lambda one: str(one.get("made", ""))):
        if record.get("class") not in {TRAIN, PROBE} or not _is_of(record, weights, imgsz):
            continue
        device = str(record["result"].get("device", ""))
        rates = [one["img_s"] for one in _probes(record) if _COMPUTES.get(one["precision"]) == compute]
        if known := [float(rate) for rate in rates if rate]:
            found |= {name: max(known) for name, gpu in gpus.items() if is_card(device, gpu.device)}
    return found


def _is_of(record: Mapping[str, Any], weights: str, imgsz: int) -> bool:
    settings = record["settings"]
    settings = settings if record["class"] == TRAIN else settings["train"]
    return bool(settings["imgsz"] == imgsz and record["inputs"]["weights"] == weights)


def _probes(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    result = record["result"]
    yield from result.get("probe" if record["class"] == TRAIN else "precisions", ())


def is_card(device: str, card: str) -> bool:
    """Tell whether the device that PyTorch names, as `cuda:0 (Tesla T4)`, is a card of the catalogue.

    They have the same model; memory and form only have to agree where both names tell them.
    """
    named = re.search(r"\((.+)\)", device)
    if named is None:
        return False
    (model, memory, form), (other, other_memory, other_form) = _name(named.group(1)), _name(card)
    return (
        model == other
        and (not memory or not other_memory or memory == other_memory)
        and (not form or not other_form or form == other_form)
    )


def _name(text: str) -> tuple[set[str], str, str]:
    """Give the words of the model, the memory and the form."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    memory = next((word for word in words if _MEMORY.fullmatch(word)), "")
    forms = [found.group(1) for word in words if (found := _FORM.fullmatch(word))]
    model = {word for word in words if not (word == memory or _FORM.fullmatch(word) or _KIND.fullmatch(word))}
    return model - _VENDOR, memory, forms[0] if forms else ""
