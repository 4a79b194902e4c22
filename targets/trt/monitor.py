"""How a build goes on, as TensorRT's progress monitor tells it (from 10.0 on)."""

from typing import Any, Callable, Dict

Progress = Callable[[float, float, str], None]


def make_monitor(trt: Any, progress: Progress, words: str) -> Any:
    """Give an `IProgressMonitor`; keep it alive as long as the configuration that it was given to.

    Args:
        trt: TensorRT, with monitors.
        progress: Told steps done, steps in all, and of what phase.
        words: That come before the phase.
    """
    steps: Dict[str, int] = {}

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # its types are not known
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind wants it called by name

        def phase_start(self, phase_name: str, parent_phase: Any, num_steps: int) -> None:
            del parent_phase
            steps[phase_name] = max(int(num_steps), 1)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Go on as long as somebody listens: what is raised here would end the process, unexplained."""
            total = steps.get(phase_name, 1)
            try:
                progress(min(int(step) + 1, total), total, f"{words}: {phase_name}")
            except OSError:
                return False
            return True

        def phase_finish(self, phase_name: str) -> None:
            steps.pop(phase_name, None)

    return Monitor()
