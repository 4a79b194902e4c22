"""All that we use of TensorRT is in every version in which that line runs (`trt_double/api.json`)."""

from pathlib import Path

import pytest

from targets.trt.library import features
from tests.targets.trt.contract import LINES, Contract
from tests.trt_double.fixtures import board_here

ROOT = Path(__file__).resolve().parents[2]
MODULES = [*sorted((ROOT / "targets/trt").glob("*.py")), ROOT / "stages/check/trt_parser.py"]


@pytest.fixture(scope="module")
def of_each_version():
    found = {}
    for line in LINES:
        with board_here(line):
            found[line] = features()
    return found


@pytest.fixture
def contract(of_each_version) -> Contract:
    return Contract(of_each_version)


def complaints(contract: Contract, body: str) -> list[str]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    contract.read(f"def code(trt: Any, features: Features, config: Any, strange: Any):\n{lines}", "code.py")
    return contract.problems


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_uses_only_what_every_version_has(path: Path, contract: Contract) -> None:
    contract.read(path.read_text(), path.name)

    assert contract.problems == []


def test_the_uses_are_seen(contract: Contract) -> None:
    for path in MODULES:
        contract.read(path.read_text(), path.name)

    assert contract.used >= {
        ("IExecutionContext", "execute_async_v3"),
        ("IExecutionContext", "set_tensor_address"),
        ("ICudaEngine", "get_tensor_dtype"),
        ("Builder", "build_serialized_network"),
        ("BuilderFlag", "INT8"),
        ("IBuilderConfig", "builder_optimization_level"),
        ("IOptimizationProfile", "set_shape"),
        ("ITimingCache", "serialize"),
        ("ParserError", "node_operator"),
        ("EngineInspector", "get_engine_information"),
        ("ITensor", "shape"),
    }
    assert contract.unseen == set()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(
            "config.set_flag(trt.BuilderFlag.FP16)", "TensorRT 11.4 has no BuilderFlag.FP16", id="flag"
        ),
        pytest.param(
            "if features.strongly_typed:\n    config.set_flag(trt.BuilderFlag.INT8)",
            "TensorRT 11.4 has no BuilderFlag.INT8",
            id="flag on the wrong side of a probe",
        ),
        pytest.param(
            "if features.strongly_typed:\n    return\n"
            "config.int8_calibrator = None\nconfig.builder_optimization_level = 3",
            "TensorRT 8.5 has no IBuilderConfig.builder_optimization_level",
            id="after a return",
        ),
        pytest.param(
            "config.int8_calibrator = None",
            "TensorRT 11.4 has no IBuilderConfig.int8_calibrator",
            id="calibrator",
        ),
        pytest.param(
            "engine = trt.Runtime(config).deserialize_cuda_engine(b'')\n"
            "engine.create_execution_context().execute_async_v2([], 0)",
            "TensorRT 10.3 has no IExecutionContext.execute_async_v2",
            id="through calls",
        ),
        pytest.param(
            "flags = trt.NetworkDefinitionCreationFlag\nreturn 1 << int(flags.STRONGLY_TYPED)",
            "TensorRT 8.5 has no NetworkDefinitionCreationFlag.STRONGLY_TYPED",
            id="through a name",
        ),
        pytest.param(
            "[one.precision for one in (trt.Builder(config).create_network().get_layer(i) for i in (0, 1))]",
            "TensorRT 11.4 has no ILayer.precision",
            id="in a comprehension",
        ),
        pytest.param(
            "config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size=1)",
            "IBuilderConfig.set_memory_pool_limit takes",
            id="argument",
        ),
        pytest.param(
            "config.num_optimization_profiles = 2", "num_optimization_profiles cannot be set", id="read-only"
        ),
        pytest.param(
            "return trt.nptype(trt.DataType.HALF)", "has no tensorrt.nptype", id="not in the library"
        ),
        pytest.param(
            "return 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)",
            "TensorRT 11.4 has no NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
            id="explicit batch",
        ),
        pytest.param(
            "parser = trt.OnnxParser(config, config)\nparser.supports_model(b'')",
            "TensorRT 11.4 has no OnnxParser.supports_model",
            id="parser",
        ),
        pytest.param("strange.build()", "nobody says what this is", id="unknown type"),
    ],
)
def test_planted_misuse_is_refused(body: str, complaint: str, contract: Contract) -> None:
    assert complaint in "\n".join(complaints(contract, body))


@pytest.mark.parametrize(
    "body",
    [
        "if not features.strongly_typed:\n    config.set_flag(trt.BuilderFlag.FP16)",
        "if features.strongly_typed:\n    return\nconfig.set_flag(trt.BuilderFlag.FP16)",
        "if hasattr(config, 'builder_optimization_level'):\n    config.builder_optimization_level = 3",
        (
            "typed = getattr(trt.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)\n"
            "return trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH if typed is None else typed"
        ),
        "known = hasattr(config, 'max_aux_streams')\nreturn config.max_aux_streams if known else 0",
        "return features.explicit_batch and trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    ],
)
def test_what_a_probe_guards_may_be_absent_elsewhere(body: str, contract: Contract) -> None:
    assert complaints(contract, body) == []
