"""How a build goes on, as TensorRT's progress monitor tells it (from 10.0 on)."""

from typing import Any, Callable, Dict

from targets.trt.library import Features

Progress = Callable[[float, float, str], None]


class Steps:
    """Counts the steps of each phase, of which several may be under way.

    Attributes:
        words: That come before the name of a phase.
    """

    def __init__(self, progress: Progress, words: str) -> None:
        self.words = words
        self._progress = progress
        self._totals: Dict[str, int] = {}

    def begin(self, phase: str, steps: int) -> None:
        """Take up a phase."""
        self._totals[phase] = max(steps, 1)

    def step(self, phase: str, place: int) -> bool:
        """Tell of a step; False if nobody listens any more, so that the build may end.

        It is called through C++: what it raised would end the process without a word.
        """
        total = self._totals.get(phase, 1)
        try:
            self._progress(min(place + 1, total), total, f"{self.words}: {phase}")
        except OSError:
            return False
        return True


def set_monitor(trt: Any, config: Any, has: Features, steps: Steps) -> None:
    """Let the builder tell how it goes on, if it can."""
    if not has.monitor:
        return

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # its types are not known
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind wants it called by name

        def phase_start(self, phase_name: str, parent_phase: object, num_steps: int) -> None:
            del parent_phase
            steps.begin(phase_name, int(num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            return steps.step(phase_name, int(step))

        def phase_finish(self, phase_name: str) -> None:
            pass

    config.progress_monitor = Monitor()
