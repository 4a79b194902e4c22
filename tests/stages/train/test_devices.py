"""Devices that are not there."""

import pytest
import torch

from stages.train.devices import check_devices, check_links, devices_of, first_device
from targets.errors import UsageError


@pytest.mark.parametrize(
    ("device", "numbers"), [("", ()), ("cpu", ()), ("0", (0,)), ("cuda:1", (1,)), ("0,1", (0, 1))]
)
def test_a_setting_names_gpus_by_their_numbers(device: str, numbers: tuple[int, ...]) -> None:
    assert devices_of(device) == numbers


@pytest.mark.parametrize("device", ["gpu", "0,", "0,0", "-1", "mps"])
def test_what_names_no_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="names no device"):
        devices_of(device)


def test_a_gpu_where_there_is_none_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(UsageError, match="asks for a GPU, but PyTorch") as caught:
        check_devices("0")

    assert "set train.device to cpu" in caught.value.hint


def test_a_build_without_cuda_is_told_from_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)

    with pytest.raises(UsageError, match="is a build for CPUs") as caught:
        check_devices("0")

    assert "Install a CUDA build" in caught.value.hint


def test_fewer_gpus_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    with pytest.raises(UsageError, match="asks for GPU 1, but this machine has GPU 0 alone"):
        check_devices("0,1")


def test_several_gpus_without_nccl_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)

    with pytest.raises(UsageError, match="Training on 2 GPUs needs NCCL"):
        check_links((0, 1))


def test_one_gpu_needs_no_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)

    check_links((0,))


def test_the_cpu_is_always_there() -> None:
    check_devices("cpu")

    assert first_device("cpu").type == "cpu"
