"""Faults to plant: what conversions have got wrong, done to a real INT8 graph; and a runtime that is slow."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.conduct import Request, conduct
from pipeline.config import load_config
from pipeline.ladder import RunReport
from pipeline.profiles import find_profiles
from pipeline.progress import LogDisplay
from pipeline.runner import Runner
from stages.artifact import Artifact
from stages.quantize import Quantize
from targets.engine import open_engine
from targets.profile import TargetProfile
from targets.runtime import Runtime
from targets.runtimes import find_runtime

Fault = Callable[[onnx.GraphProto], None]
Infer = Callable[[np.ndarray], np.ndarray]


def run_with(project: Path, settings: dict[str, object]) -> RunReport:
    """Run the demo in this process."""
    options = [f"{key}={value}" for key, value in settings.items()]
    config = load_config(None, options, demo=True, folder=project)
    request = Request(config=config, profiles=find_profiles(["cpu"]), folder=project)
    with LogDisplay() as reporter:
        return conduct(request, reporter)


def refused(report: RunReport) -> set[str]:
    """Give what the gate refused of the INT8 forms."""
    forms = [rung for rung in report.targets["cpu"].ladder if rung.precision == "int8"]
    return {check.measure for rung in forms for check in rung.checks if check.verdict == "refuse"}


# -------------------------------------------------------------------------------------------- in the graph
def plant(patch: pytest.MonkeyPatch, fault: Fault, folder: Path) -> None:
    """Let the quantizer of runs in this process get its graph wrong."""

    class Clumsy(Runner):
        def __call__(self, stage: Any, inputs: Any, **options: Any) -> Any:
            result = super().__call__(stage, inputs, **options)
            if isinstance(stage, Quantize):
                return replace(result, onnx=_altered(result.onnx, fault, folder))
            return result

    patch.setattr("pipeline.conduct.Runner", Clumsy)


def _altered(source: Artifact, fault: Fault, folder: Path) -> Artifact:
    shutil.copytree(source.path, folder, copy_function=shutil.copyfile)
    model = onnx.load(folder / "model.onnx")
    fault(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    return Artifact.of(folder)


def _take_answer(graph: onnx.GraphProto) -> str:
    """Give the graph's answer another name, so that something else can become the answer."""
    (answer,) = (one.name for one in graph.output)
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name == answer:
                node.output[place] = "right"
    return answer


def _rows(graph: onnx.GraphProto, operator: str, by_row: dict[int, float], rest: float) -> None:
    """Combine each row of the answer, (1, 4 + classes, anchors), with a figure."""
    (output,) = graph.output
    rows = output.type.tensor_type.shape.dim[1].dim_value
    figures = np.array([by_row.get(row, rest) for row in range(rows)], np.float32).reshape(1, rows, 1)
    graph.initializer.append(numpy_helper.from_array(figures, "figures"))
    graph.node.append(helper.make_node(operator, ["right", "figures"], [_take_answer(graph)], "fault"))


def halve_scores(graph: onnx.GraphProto) -> None:
    _rows(graph, "Mul", dict.fromkeys(range(4), 1.0), rest=0.5)


def shift_boxes(graph: onnx.GraphProto) -> None:
    """By 4 px of the input, in x and y."""
    _rows(graph, "Add", {0: 4.0, 1: 4.0}, rest=0.0)


def forget_a_class(graph: onnx.GraphProto) -> None:
    """The second one, `scratch`."""
    _rows(graph, "Mul", {5: 0.0}, rest=1.0)


def drop_boxes_below(area_px2: float) -> Fault:
    """Give a fault that takes the scores away of boxes that cover less, in pixels of the input."""

    def drop(graph: onnx.GraphProto) -> None:
        answer = _take_answer(graph)
        constants = {"two": [2], "three": [3], "four": [4], "all": [2**31], "rows": [1], "zero": [0]}
        for name, values in constants.items():
            graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        least = numpy_helper.from_array(np.array(area_px2, np.float32), "least")
        graph.initializer.append(least)
        graph.node.extend([
            helper.make_node("Slice", ["right", "two", "three", "rows"], ["width"], "fault/width"),
            helper.make_node("Slice", ["right", "three", "four", "rows"], ["height"], "fault/height"),
            helper.make_node("Mul", ["width", "height"], ["area"], "fault/area"),
            helper.make_node("Greater", ["area", "least"], ["large"], "fault/large"),
            helper.make_node("Cast", ["large"], ["kept"], "fault/kept", to=TensorProto.FLOAT),
            helper.make_node("Slice", ["right", "zero", "four", "rows"], ["boxes"], "fault/boxes"),
            helper.make_node("Slice", ["right", "four", "all", "rows"], ["scores"], "fault/scores"),
            helper.make_node("Mul", ["scores", "kept"], ["left"], "fault/left"),
            helper.make_node("Concat", ["boxes", "left"], [answer], "fault/answer", axis=1),
        ])  # fmt: skip

    return drop


# ------------------------------------------------------------------------------------------ in the runtime
def slow_down(patch: pytest.MonkeyPatch, **call_s: float) -> None:
    """Let engines take a device's time when they are timed here: that of their precision, in seconds."""

    class Device:
        def __init__(self, runtime: Runtime) -> None:
            self._runtime = runtime

        @contextmanager
        def open(self, engine: Path, profile: TargetProfile) -> Iterator[Infer]:
            seconds = call_s[open_engine(engine).precision]
            with self._runtime.open(engine, profile) as infer:
                yield _device(infer, seconds)

    patch.setattr("stages.verify.measure.find_runtime", lambda name: Device(find_runtime(name)))


def _device(infer: Infer, seconds: float) -> Infer:
    """Give an engine that works once, and from then on waits: however busy this machine is, it is as slow."""
    answers: list[np.ndarray] = []

    def wait(images: np.ndarray) -> np.ndarray:
        if not answers:
            answers.append(infer(images))
        time.sleep(seconds)
        return answers[0]

    return wait
