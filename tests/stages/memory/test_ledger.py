import pytest

pytestmark = pytest.mark.slow  # they load torch


def test_a_tensor_is_entered_when_it_is_made_and_when_it_goes() -> None:
    import torch

    from stages.memory.ledger import FREED, Ledger

    with Ledger() as ledger:
        tensor = torch.ones(1000)
        del tensor

    assert ledger.events == [(0, 4000), (0, FREED)]


def test_a_view_costs_nothing() -> None:
    import torch

    from stages.memory.ledger import Ledger

    before = torch.ones(10, 10)
    with Ledger() as ledger:
        views = [before.t(), before[2:], before.reshape(100), before.detach()]

    assert len(views) == 4
    assert (ledger.events, ledger.kernels) == ([], [])


def test_work_in_place_takes_time_and_no_memory() -> None:
    import torch

    from stages.memory.ledger import Kernel, Ledger

    tensor = torch.ones(100)
    with Ledger() as ledger:
        tensor.mul_(2)

    assert ledger.events == []
    assert ledger.kernels == [Kernel(flop=0, traffic=800)]  # read and written


def test_a_convolution_counts_a_multiply_add_as_two() -> None:
    import torch

    from stages.memory.ledger import Ledger

    conv = torch.nn.Conv2d(3, 8, 3, bias=False)
    picture = torch.ones(1, 3, 10, 10)
    with torch.no_grad(), Ledger() as ledger:
        conv(picture)

    assert [kernel.flop for kernel in ledger.kernels] == [2 * 8 * 8 * 8 * 3 * 9]
    assert ledger.kernels[0].traffic == 4 * (3 * 100 + 8 * 3 * 9 + 8 * 64)


def test_what_autograd_keeps_stays_until_the_backward_pass() -> None:
    import torch

    from stages.memory.ledger import FREED, Ledger

    weight = torch.ones(100, requires_grad=True)
    with Ledger() as ledger:
        loss = weight.exp().sum()  # keeps the result of exp
        kept = [key for key, size in ledger.events if size == 400]
        gone_before = [key for key, size in ledger.events if size == FREED]
        loss.backward()
        del loss

    assert set(kept).isdisjoint(gone_before)
    assert set(kept) <= {key for key, size in ledger.events if size == FREED}
