"""TensorRT's log: failures come as lines and `None`, so the lines are kept."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from targets.errors import EvidenceError

_KEPT = 2000  # lines of each kind; a builder at its default says a few dozen


class Log:
    """The lines of a builder, parser or runtime.

    Attributes:
        lines: `W message`, in order.
    """

    def __init__(self) -> None:
        self.lines: List[str] = []
        self._heard: Dict[str, int] = {}

    def hear(self, severity: str, message: str) -> None:
        """Keep a line."""
        self._heard[severity] = self._heard.get(severity, 0) + 1
        if self._heard[severity] <= _KEPT:  # a flood of one kind must not hide what went wrong
            self.lines.append(f"{severity} {' '.join(message.split())}")

    @property
    def errors(self) -> List[str]:
        """What went wrong, each once, in order."""
        return list(dict.fromkeys(line[2:] for line in self.lines if line[0] == "E"))

    @property
    def warnings(self) -> List[str]:
        """What the library warns of, each once, in order."""
        return list(dict.fromkeys(line[2:] for line in self.lines if line[0] == "W"))

    @property
    def text(self) -> str:
        """All lines."""
        return "".join(f"{line}\n" for line in self.lines)


def make_logger(trt: Any, log: Log) -> Any:
    """Give an `ILogger` that writes into `log`; keep it alive as long as what it was given to."""
    names = {
        trt.ILogger.INTERNAL_ERROR: "E",
        trt.ILogger.ERROR: "E",
        trt.ILogger.WARNING: "W",
        trt.ILogger.INFO: "I",
    }

    class Logger(trt.ILogger):  # type: ignore[misc]  # its types are not known
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind wants it called by name

        def log(self, severity: Any, message: str) -> None:
            if severity in names:
                log.hear(names[severity], message)

    return Logger()


@contextmanager
def needing_gpu(log: Log) -> "Iterator[None]":
    """Explain builders and runtimes that cannot be made: the bindings say only that they got nothing.

    Raises:
        EvidenceError: TensorRT has no GPU here that it can use.
    """
    try:
        yield
    except (TypeError, RuntimeError) as exc:  # pybind11: "factory function returned nullptr"
        said = "; ".join(log.errors[-2:]) or str(exc)
        raise EvidenceError(
            f"TensorRT finds no GPU that it can use: {said}",
            hint="Look at `nvidia-smi`, or `tegrastats` on a Jetson; the driver may be too old for TensorRT.",
        ) from exc
