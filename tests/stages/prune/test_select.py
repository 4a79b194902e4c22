import pytest
import torch
from torch import nn

from stages.prune.aim import aim, give_back
from stages.prune.graph import Group
from stages.prune.select import Rule, highest_ratio, select
from stages.prune.ties import Bundle
from targets.errors import UsageError

pytestmark = pytest.mark.slow  # they load torch


def bundle(*widths: int, sides: torch.Tensor | None = None) -> Bundle:
    groups = tuple(
        Group(root=nn.Conv2d(1, width, 1), name=f"conv{width}", width=width, members=(), frozen=False)
        for width in widths
    )
    return Bundle(groups=groups, width=widths[0], sides=(sides,) * len(groups))


def rising(*bundles: Bundle, factor: float = 1.0) -> dict[Group, torch.Tensor]:
    return {
        group: torch.arange(1.0, group.width + 1) * factor**place
        for place, one in enumerate(bundles)
        for group in one.groups
    }


def rule(scope: str = "layer", round_to: int = 1, **reference: int) -> Rule:
    return Rule(scope=scope, round_to=round_to, reference=reference)


def left(removed: dict[Group, torch.Tensor]) -> list[int]:
    return [group.width - len(channels) for group, channels in removed.items()]


def test_the_least_important_channels_go() -> None:
    one = bundle(4)

    removed = select([one], {one.groups[0]: torch.tensor([3.0, 1.0, 4.0, 2.0])}, ratio=0.5, rule=rule())

    assert removed[one.groups[0]].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("round_to", "ratio", "wanted"),
    [(8, 0.3, 48), (8, 0.9, 8), (16, 0.3, 48), (32, 0.3, 32), (1, 0.3, 45), (8, 0.02, 64), (128, 0.5, 64)],
)
def test_widths_are_rounded_to_the_nearest_multiple(round_to: int, ratio: float, wanted: int) -> None:
    one = bundle(64)

    assert left(select([one], rising(one), ratio=ratio, rule=rule(round_to=round_to))) == [wanted]


def test_a_width_that_is_no_multiple_stays_if_nothing_goes() -> None:
    one = bundle(42)

    assert left(select([one], rising(one), ratio=0.0, rule=rule(round_to=8))) == [42]


def test_groups_of_a_bundle_are_left_equally_wide() -> None:
    pair, other = bundle(32, 32), bundle(64)
    scores = rising(pair, other) | {pair.groups[0]: torch.full((32,), 100.0)}

    for scope in ("layer", "global"):
        first, second, _ = left(select([pair, other], scores, ratio=0.4, rule=rule(scope)))

        assert first == second < 32


def test_of_either_side_equally_many_are_left() -> None:
    sides = torch.tensor([0, 1] * 8)
    one = bundle(16, sides=sides)

    removed = select([one], rising(one), ratio=0.4, rule=rule(round_to=1))[one.groups[0]]

    assert len(removed) == 6
    assert sides[removed].sum() == 3


def test_global_takes_more_where_less_is_lost() -> None:
    strong, weak = bundle(64), bundle(64)

    removed = select(
        [weak, strong], rising(weak, strong, factor=4), ratio=0.5, rule=rule("global", round_to=8)
    )

    assert left(removed) == [16, 48]


def test_global_cuts_no_layer_through() -> None:
    strong, weak = bundle(64), bundle(64)
    scores = rising(weak, strong) | {weak.groups[0]: torch.zeros(64)}

    removed = select([weak, strong], scores, ratio=0.5, rule=rule("global", round_to=8))

    assert left(removed) == [8, 64]


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_ratio_that_leaves_a_layer_without_channels_is_refused(scope: str) -> None:
    one, other = bundle(16), bundle(256)

    with pytest.raises(UsageError, match=r"0\.9999` leaves conv16 without channels; it has 16"):
        select([one, other], rising(one, other), ratio=0.9999, rule=rule(scope))


def test_the_highest_ratio_leaves_every_layer_a_channel() -> None:
    bundles = [bundle(16), bundle(256)]

    ratio = highest_ratio(bundles, rule())

    assert min(left(select(bundles, rising(*bundles), ratio=ratio, rule=rule()))) == 1


def test_later_cuts_count_from_the_widths_before_the_first() -> None:
    one = bundle(48)

    removed = select([one], rising(one), ratio=0.5, rule=rule(conv48=64))

    assert left(removed) == [32]


def test_aim_finds_the_smallest_cut_that_reaches_the_target() -> None:
    one = bundle(64)

    def gmac(removed: dict[Group, torch.Tensor]) -> float:
        return float(sum(left(removed)))

    most, least = aim(
        lambda ratio: select([one], rising(one), ratio=ratio, rule=rule()), gmac, target=20.0, highest=0.98
    )

    assert (gmac(most), gmac(least)) == (20.0, 21.0)


def test_what_the_target_has_room_for_is_given_back() -> None:
    cheap, dear = bundle(16), bundle(16)
    scores = rising(cheap, dear)

    def gmac(removed: dict[Group, torch.Tensor]) -> float:
        low, high = left(removed)
        return low + 10.0 * high

    def choose(ratio: float) -> dict[Group, torch.Tensor]:
        return select([cheap, dear], scores, ratio=ratio, rule=rule(round_to=8))

    cuts = aim(choose, gmac, target=100.0, highest=0.9)
    removed = give_back([cheap, dear], cuts, scores=scores, gmac=gmac, target=100.0)

    assert left(cuts[0]) == [8, 8]
    assert left(removed) == [16, 8]


def test_where_all_are_worth_the_same_global_cuts_every_layer_alike() -> None:
    bundles = [bundle(64), bundle(32), bundle(128)]
    scores = {group: torch.ones(group.width) for one in bundles for group in one.groups}

    assert left(select(bundles, scores, ratio=0.5, rule=rule("global"))) == [32, 16, 64]
