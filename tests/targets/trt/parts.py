"""Models, a target and little work for tests of TensorRT on its double."""

from pathlib import Path

from targets.kit import BoardWork
from targets.profile import TargetProfile
from targets.receipt import BuildFacts
from targets.trt.build import build
from tests.trt_double.boards import FP16, FP32, INT8, graph

ORIN = TargetProfile(
    name="orin", device="Orin", runtime="tensorrt", sm="8.7", jetpack="6.2", dla=2, local=False
)
WORK = BoardWork(runs=30, seconds=1.0, warmup_runs=3, warmup_s=0.01)


def written(folder: Path, model) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def model_of(precision: str, line: str):
    new = not line.startswith("8")
    if precision == "fp32":
        return graph(FP32)
    if precision == "fp16":
        return graph(FP16, opset=19 if new else 17)
    return graph(INT8, opset=19 if new else 17)


def built(folder: Path, model, work: BoardWork = WORK, **more) -> BuildFacts:
    more = {"cache": folder / "cache", "progress": lambda *_: None, **more}
    return build(written(folder, model), ORIN, folder, work, **more)
