"""Rates that were measured by an earlier training, found again."""

from pathlib import Path

import pytest
from commands import invoke

from pipeline.gpus.catalogue import find_gpus
from pipeline.gpus.measured import PROBE, TRAIN, is_card, measured_rates
from pipeline.store import Store

# As torch.cuda.get_device_name says them.
CARDS = [
    ("NVIDIA A100-SXM4-80GB", "a100"),
    ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
    ("NVIDIA H100 80GB HBM3", "h100"),
    ("NVIDIA H200", "h200"),
    ("Tesla T4", "t4"),
    ("Tesla V100-SXM2-32GB", "v100"),
    ("NVIDIA GeForce RTX 3060", "rtx3060"),
    ("NVIDIA GeForce RTX 4090", "rtx4090"),
    ("NVIDIA RTX A6000", "a6000"),
    ("NVIDIA L4", "l4"),
    ("NVIDIA L40S", "l40s"),
]


@pytest.mark.parametrize(("name", "card"), CARDS)
def test_a_device_is_one_card_of_the_catalogue(name: str, card: str) -> None:
    gpus = find_gpus([known for _, known in CARDS])

    assert [known for known, gpu in gpus.items() if is_card(f"cuda:0 ({name})", gpu.device)] == [card]


@pytest.mark.parametrize(
    "device",
    ["cpu", "cuda:0", "cuda:0 (NVIDIA GeForce RTX 4090 Laptop GPU)", "cuda:0 (NVIDIA A100-PCIE-80GB)", ""],
)
def test_another_device_is_none_of_them(device: str) -> None:
    gpus = find_gpus([known for _, known in CARDS])

    assert not any(is_card(device, gpu.device) for gpu in gpus.values())


def record(made: str, rate: float | None, **more: object) -> dict[str, object]:
    """Give what the store keeps of a training, as far as rates go."""
    probe = [{"precision": "fp32", "img_s": 50.0}, {"precision": "fp16", "img_s": rate}]
    return {
        "class": TRAIN,
        "settings": {"imgsz": 640},
        "inputs": {"weights": "sha256:w"},
        "result": {"device": "cuda:0 (Tesla T4)", "probe": probe},
        "made": made,
        **more,
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


def rates(store: Store, **more: object) -> dict[str, float]:
    given = {"weights": "sha256:w", "imgsz": 640, "compute": "half", **more}
    return measured_rates(store, find_gpus(("t4", "a100")), **given)


def test_the_newest_probe_of_the_same_model_and_size_counts(store: Store) -> None:
    store.commit("b", record("2026-02-01", 90.0), {})
    store.commit("a", record("2026-03-01", 110.0), {})
    store.commit("c", record("2026-01-01", 70.0), {})

    assert rates(store) == {"t4": 110.0}
    assert rates(store, compute="fp32") == {"t4": 50.0}
    assert rates(store, imgsz=320) == rates(store, weights="sha256:other") == {}


def test_a_step_that_probed_alone_counts_too_and_others_do_not(store: Store) -> None:
    settings = {"train": {"imgsz": 640}}
    result = {"device": "cuda:0 (Tesla T4)", "precisions": [{"precision": "bf16", "img_s": 80.0}]}
    store.commit(
        "a", record("2026-01-01", None, **{"class": PROBE, "settings": settings, "result": result}), {}
    )
    store.commit("b", record("2026-02-01", None), {})  # which could not be tried
    store.commit("c", {"class": "stages.export.Export", "made": "2026-03-01"}, {})

    assert rates(store) == {"t4": 80.0}


@pytest.mark.slow
def test_plan_takes_a_measured_rate_unless_the_user_states_one(project: Path) -> None:
    invoke("plan", "--gpu", "t4", "--root", project, "--json")
    store = Store(project / ".edgebound")
    steps = [entry.record for key in store.step_keys() if (entry := store.find(key))]
    weights = next(one["inputs"]["weights"] for one in steps if "weights" in one["inputs"])
    measured = record("2026-01-01", 123.0, settings={"imgsz": 64}, inputs={"weights": weights})
    store.commit("0" * 64, measured, {})

    done = invoke("plan", "--gpu", "t4", "--gpu", "a100", "--price", "2", "--root", project, "--json")
    stated = invoke("plan", "--gpu", "t4", "--rate", "5", "--root", project, "--json")

    t4, a100 = done.document["cards"]
    assert (t4["rate"], t4["rate_img_s"]) == ("measured", 123.0)
    assert t4["usd"] == pytest.approx(2 * t4["total_h"])
    assert a100["rate"] == "predicted"
    assert "Of t4 the rate is that of the probe of an earlier training here." in done.said
    assert stated.document["cards"][0]["rate"] == "stated"
