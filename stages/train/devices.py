"""Devices: is what `train.device` asks for there? Asked before anything is loaded."""

from __future__ import annotations

import torch

from targets.errors import UsageError


def devices_of(device: str) -> tuple[int, ...]:
    """Give the numbers of the GPUs that a setting names: none for `cpu` and for the empty one.

    Raises:
        UsageError: It is neither.
    """
    if device in {"", "cpu"}:
        return ()
    numbers = device.removeprefix("cuda:").split(",")
    if not all(number.strip().isdigit() for number in numbers) or len({*numbers}) != len(numbers):
        raise UsageError(
            f"`train.device: {device}` names no device.",
            hint="Give `cpu`, the number of a GPU as `0`, or several as `0,1`.",
        )
    return tuple(int(number) for number in numbers)


def first_device(device: str) -> torch.device:
    """Give the device that a setting means, the first of several."""
    numbers = devices_of(device)
    if numbers or (not device and torch.cuda.is_available()):
        return torch.device("cuda", numbers[0] if numbers else torch.cuda.current_device())
    return torch.device("cpu")


def check_devices(device: str) -> None:
    """See that the devices are there.

    Raises:
        UsageError: One is not, or several are asked for and cannot talk to each other.
    """
    asked = devices_of(device)
    if not asked:
        return
    if not torch.cuda.is_available():
        raise UsageError(f"`train.device: {device}` asks for a GPU, but {_why_none()}", hint=_hint_for_none())
    found = torch.cuda.device_count()
    if max(asked) >= found:
        there = "GPU 0" if found == 1 else f"GPUs 0 to {found - 1}"
        raise UsageError(
            f"`train.device: {device}` asks for GPU {max(asked)}, but this machine has {there} alone.",
            hint="Name GPUs that `nvidia-smi` lists; CUDA_VISIBLE_DEVICES hides all others.",
        )
    check_links(asked)


def check_links(asked: tuple[int, ...]) -> None:
    """See that several GPUs can add up their gradients.

    Raises:
        UsageError: PyTorch has no NCCL.
    """
    distributed = torch.distributed
    if len(asked) > 1 and not (distributed.is_available() and distributed.is_nccl_available()):
        raise UsageError(
            f"Training on {len(asked)} GPUs needs NCCL, which PyTorch {torch.__version__} was built without.",
            hint="Install a build with NCCL (the CUDA wheels for Linux of https://pytorch.org have it),"
            " or name one GPU.",
        )


def _why_none() -> str:
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is a build for CPUs."
    return (
        f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}, finds no CUDA driver or no GPU."
    )


def _hint_for_none() -> str:
    if torch.version.cuda is None:
        return "Install a CUDA build (https://pytorch.org/get-started), or set train.device to cpu."
    return "See what `nvidia-smi` says, and CUDA_VISIBLE_DEVICES; or set train.device to cpu."
