"""A service that watches a camera and tells another program what it sees, one JSON line a frame.

```
pip install edgebound openvino          # or onnxruntime, or TensorRT from JetPack: what the engine wants
pipeline pull registry.example/team/steel:stable -o /opt/steel
python service.py /opt/steel rtsp://camera.local/stream --class person
```
It loads the engine once, never falls behind the camera (old frames are dropped and counted), opens the source again
when it goes away, and ends with SIGTERM, as systemd and containers send it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator

from edgebound import Detector, EdgeboundError, Frame, open_source

AGAIN_S = 2.0
"""Seconds before a source that went away is tried again."""


def main() -> None:
    """Watch until somebody says stop."""
    parser = argparse.ArgumentParser(description="Watch a camera.")
    parser.add_argument("engine", help="folder that a release was pulled to")
    parser.add_argument("source", help="camera number, video, or address of a stream")
    parser.add_argument("--class", dest="names", action="append", help="keep only this class")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Detector.open(asked.engine) as detector:
        detector.warm_up()
        for frame in frames_of(asked.source):
            found = detector(frame.picture)
            found = found.only(asked.names) if asked.names else found
            line = {
                "frame": frame.number,
                "dropped": frame.dropped,
                "ms": round(found.times.total, 2),
                "objects": found.to_records(),
            }
            print(json.dumps(line), flush=True)


def frames_of(source: str) -> Iterator[Frame]:
    """Give frames for as long as somebody wants them."""
    while True:
        try:
            with open_source(source, live=True) as frames:
                yield from frames
        except EdgeboundError as exc:
            print(f"{exc.what} Again in {AGAIN_S:g} s.", file=sys.stderr)
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
