"""A process that releases, and is killed as by a power cut before its n-th file gets its name."""

import os
import signal
import sys
from pathlib import Path

from tests.pipeline.release.desk import Desk


def main(root: Path, at: int, *args: str) -> None:
    seen = 0

    def watch(event: str, _: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "os.rename":
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    desk = Desk(root)
    assert desk.key.exists()
    sys.addaudithook(watch)
    done = desk.release(*args)
    sys.stdout.write(f"{done.code} {seen}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
