"""Notes: what is said about a data set, as errors that end the run and as warnings that do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stages.data.counts import warn_of_balance
from stages.data.duplicates import Pairs
from stages.data.pictures import Read
from stages.data.summary import DataSummary
from targets.errors import DataError

SHOWN = 20  # lines in an error
EXAMPLES = 100  # files of a kind in report.json


def refuse_broken(reads: Sequence[Read]) -> None:
    """Stop where any picture or label is broken.

    Raises:
        DataError: With all that is wrong, each thing with its file and line.
    """
    problems = [problem for read in reads for problem in read.problems]
    if problems:
        raise DataError(
            _shorten(problems), hint="Correct these files, or take the pictures out; nothing was trained yet."
        )


def refuse_leakage(pairs: Pairs) -> None:
    """Stop where a validation picture is a training picture, byte for byte.

    Raises:
        DataError: With all pairs.
    """
    if pairs.exact_across:
        lines = [f"{val}: the same file as {train}" for val, train in pairs.exact_across]
        raise DataError(
            f"{len(lines)} validation pictures are in train too, so mAP would flatter:\n{_shorten(lines)}",
            hint="Take them out of one split, or set data.allow_leakage=true to go on all the same.",
        )


def refuse_empty(summary: DataSummary, path: str) -> None:
    """Stop where a split has no box at all.

    Raises:
        DataError: It has none.
    """
    for name, split in (("training", summary.train), ("validation", summary.val)):
        if not split.boxes:
            raise DataError(
                f"{path}: there is no box on any of the {split.pictures} {name} pictures; "
                f"{split.unlabelled} of them have no label file.",
                hint="Labels are looked for at the picture's path with /images/ read as /labels/, and .txt.",
            )


def _shorten(lines: Sequence[str]) -> str:
    more = len(lines) - SHOWN
    return "\n".join([*lines[:SHOWN], *([f"… and {more} more."] if more > 0 else [])])


def warn(reads: Sequence[Read], pairs: Pairs, summary: DataSummary) -> Iterator[str]:
    """Give a sentence for each thing that is odd, but no reason to stop."""
    for text, files in _odd(reads).items():
        if files:
            yield f"{text}: {sum(files.values())}, first in {next(iter(files))}."
    for text, found in _repeats(pairs).items():
        if found:
            yield f"{text}: {len(found)}, first {found[0][0]} like {found[0][1]}."
    yield from warn_of_balance(summary)


def examples(reads: Sequence[Read], pairs: Pairs) -> dict[str, Sequence[object]]:
    """Give the files behind the warnings, the first of each kind."""
    files = {text: list(found) for text, found in _odd(reads).items()}
    kinds: dict[str, Sequence[object]] = {**files, **_repeats(pairs)}
    return {text: found[:EXAMPLES] for text, found in kinds.items()}


def _odd(reads: Sequence[Read]) -> dict[str, dict[str, int]]:
    """Give for each kind the pictures, with how often it is on them."""
    kinds = {
        "Pictures without a label file, counted as background": lambda read: int(read.labels.missing),
        "Boxes left out because they are empty": lambda read: read.labels.empty,
        "Boxes left out because they are there twice": lambda read: read.labels.repeated,
        "Boxes clipped because they reach over the edge": lambda read: read.labels.clipped,
        "Boxes no larger than a pixel on a side": _one_pixel,
    }
    return {text: {read.path: n for read in reads if (n := count(read))} for text, count in kinds.items()}


def _one_pixel(read: Read) -> int:
    sides = read.labels.boxes[:, 3:] * (read.width, read.height)
    return int((sides.round(3).min(axis=1, initial=2) <= 1).sum())


def _repeats(pairs: Pairs) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        "Validation pictures that are in train too": pairs.exact_across,
        "Validation pictures that look the same as one in train": pairs.near_across,
        "Pictures that are in their split twice": pairs.exact_within,
        "Pictures that look the same as another of their split": pairs.near_within,
    }
