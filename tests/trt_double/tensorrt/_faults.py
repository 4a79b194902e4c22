"""What is to go wrong: TRT_DOUBLE_FAIL, faults with commas between them, or nothing.

build:int8     the builder finds no implementation for a graph with Q/DQ (fp16, fp32: with that precision)
oom            the builder runs out of memory
slow:SECONDS   each build takes so long
crash          the process is killed in the middle of a build
run            an inference fails
delay:int8:MS  each inference of a graph with Q/DQ takes so much longer, in milliseconds (fp16, fp32: …)
"""

import os
import signal
import time


def _asked():
    return [fault.split(":") for fault in os.environ.get("TRT_DOUBLE_FAIL", "").split(",") if fault]


def fails(what, precision=None):
    """Say whether `what` is to fail."""
    return [what] in _asked() or [what, precision] in _asked()


def build_seconds():
    return sum(float(fault[1]) for fault in _asked() if fault[0] == "slow")


def crash():
    if fails("crash"):
        os.kill(os.getpid(), signal.SIGKILL)


def delay(precision):
    for fault in _asked():
        if fault[:2] == ["delay", precision]:
            time.sleep(float(fault[2]) / 1e3)
