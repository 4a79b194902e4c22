"""Rank: one of several processes that train together, as torchrun starts them.

    torchrun --nproc-per-node 2 -m stages.train.rank REQUEST.json

The request names the stage's settings, its inputs, and the folder that all ranks share. Rank 0 writes
snapshots there, and its progress beside the request, a JSON object a line. An error of ours goes beside the
request too, and ends the rank with exit code 3: it would come again, so nobody should try again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from stages.dataset import load_dataset
from stages.stage import Progress, no_progress
from stages.train.course import Job
from stages.train.parallel import Place, leave
from stages.train.request import FAILED, Request, progress_of, tell_error
from stages.train.session import load, train_rank
from stages.train.settings import in_epochs
from targets.errors import EdgeboundError


def main(path: Path, place: Place) -> int:
    """Train as one of several; give the exit code."""
    request = Request.read(path)
    progress = _progress(progress_of(path)) if place.rank == 0 else no_progress
    try:
        dataset = load_dataset(request.inputs.index)
        job = Job(
            stage=in_epochs(request.stage, pictures=len(dataset.train)),
            inputs=request.inputs,
            dataset=dataset,
            out=request.out,
            progress=progress,
            place=place,
        )
        train_rank(job, load(job))
    except EdgeboundError as exc:
        tell_error(path, exc)
        return FAILED
    leave()
    return 0


def _progress(path: Path) -> Progress:
    file = path.open("a", encoding="utf-8")

    def tell(done: float, total: float, note: str = "") -> None:
        file.write(json.dumps({"done": done, "total": total, "note": note}) + "\n")
        file.flush()

    return tell


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Place.of(os.environ)))  # noqa: TID251  (torchrun says so there)
