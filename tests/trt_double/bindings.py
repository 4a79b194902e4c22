"""What NVIDIA's own bindings of TensorRT have: names, enum values and arguments, read from the real module.

The bindings are wheels of their own, and load without the TensorRT libraries once empty stand-ins define the
few C symbols they want. Nothing can be built or run so; the names are true. To write `api.json` anew:

    python tests/trt_double/bindings.py             downloads the wheels of `REQUIREMENTS`
    python tests/trt_double/bindings.py WHEEL…      reads those; 8.5 is in tensorrt==8.5.3.1 (550 MB), which
                                                    loads in Python 3.6 to 3.10 only
"""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# One wheel for each API that a supported device has; JetPack 6.0 has 8.6.2, and the index 8.6.1.
REQUIREMENTS = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.13": "tensorrt-cu13-bindings==10.13.3.9",
    "10.16": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4": "tensorrt-cu13-bindings==11.4.0.106",
}
NEWEST = "tensorrt-cu13-bindings<12"
TABLE = Path(__file__).parent / "api.json"
SOURCE = (
    "Read by tests/trt_double/bindings.py from NVIDIA's own bindings, of the Python package index: tensorrt "
    "8.5.3.1, tensorrt-bindings 8.6.1, tensorrt-cu12-bindings 10.3.0, tensorrt-cu13-bindings 10.13.3.9, "
    "10.16.1.11 and 11.4.0.106."
)

# What a builder or a runner of engines could ever need; graphs are made by ONNX, never layer by layer.
CLASSES = (
    "Builder", "Dims", "EngineInspector", "IBuilderConfig", "ICudaEngine", "IErrorRecorder",
    "IExecutionContext", "IHostMemory", "IInt8EntropyCalibrator2", "ILayer", "ILogger",
    "INetworkDefinition", "IOptimizationProfile", "IProgressMonitor", "ISerializationConfig", "ITensor",
    "ITimingCache", "Logger", "OnnxParser", "ParserError", "Refitter", "Runtime",
)  # fmt: skip
ENUMS = (
    "BuilderFlag", "DataType", "DeviceType", "EngineCapability", "ErrorCode", "ErrorCodeTRT",
    "ExecutionContextAllocationStrategy", "HardwareCompatibilityLevel", "LayerInformationFormat",
    "LayerType", "MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParserFlag", "PreviewFeature",
    "ProfilingVerbosity", "QuantizationFlag", "RuntimePlatform", "SerializationFlag", "TacticSource",
    "TempfileControlFlag", "TensorFormat", "TensorIOMode", "TensorLocation", "TilingOptimizationLevel",
)  # fmt: skip
VALUES = (
    "bfloat16", "bool", "float16", "float32", "int32", "int64", "int8", "uint8",
    "get_nv_onnx_parser_version", "get_plugin_registry", "init_libnvinfer_plugins",
)  # fmt: skip

_LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser", "libnvparsers")
_SYMBOLS = (  # what `nm -D --undefined-only` shows of TensorRT in the five
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getPluginRegistry", "getNvOnnxParserVersion", "initLibNvInferPlugins", "getInferLibVersion",
    "_ZN11nvuffparser15createUffParserEv", "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv", "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)  # fmt: skip


def fetch(requirement, folder):
    """Download one wheel of the bindings, unless it is there.

    Raises:
        ConnectionError: The package index cannot be reached, or has no wheel for this Python.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement], capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise ConnectionError(f"{requirement} could not be downloaded: {done.stderr.strip()}")
    [wheel] = folder.glob("*.whl")
    return wheel


def look(wheel):
    """Give what the module in a wheel has, as one version of `api.json`."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            [name] = [one for one in archive.namelist() if one.endswith("/tensorrt.so")]
            module = Path(archive.extract(name, folder))
        _make_libraries(module, Path(folder))
        command = [sys.executable, __file__, "--look", str(module)]
        # The linker reads this when a program starts; so a child it is, and a crash of the module is its own.
        done = subprocess.run(
            command, env={"LD_LIBRARY_PATH": folder}, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise RuntimeError(f"{wheel} cannot be looked at: {done.stderr}")
    return {"version": wheel.name.split("-")[1], **json.loads(done.stdout)}


def _make_libraries(module, folder):
    source = folder / "stand_in.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _SYMBOLS))
    for found in set(re.findall(rb"(lib[a-z_]+)\.so\.(\d+)\0", module.read_bytes())):
        name, number = (part.decode() for part in found)
        if name in _LIBRARIES:
            library = folder / f"{name}.so.{number}"
            subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)


def _look_inside(path):
    spec = importlib.util.spec_from_file_location("tensorrt", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    classes = {name: _describe(getattr(module, name)) for name in CLASSES if hasattr(module, name)}
    enums = {name: _members(getattr(module, name)) for name in ENUMS if hasattr(module, name)}
    enums["ILogger.Severity"] = _members(module.ILogger.Severity)
    return {"classes": classes, "enums": enums, "values": [name for name in VALUES if hasattr(module, name)]}


def _members(enum):
    return {name: int(value) for name, value in enum.__members__.items()}


def _describe(kind):
    """Give each member: a list of argument lists, one an overload; `r` or `rw`: property; `=`: constant."""
    found = {}
    for name, value in vars(kind).items():
        if name == "__init__" or not name.startswith("_"):
            found[name] = _kind_of(name, value)
    return found


def _kind_of(name, value):
    if isinstance(value, property):
        return "r" if value.fset is None else "rw"
    if inspect.isroutine(value):
        return _overloads(name, value.__doc__ or "")
    return "="


def _overloads(name, text):
    """Give the arguments of each signature in a docstring of pybind11; one with a default ends in `=`."""
    signatures = re.findall(rf"^(?:\d+\. )?{name}\((.*)\) ->", text, flags=re.MULTILINE)
    return [[_argument(part) for part in _split(signature)] for signature in signatures]


def _split(signature):
    parts, depth = [""], 0
    for char in signature:
        depth += (char in "[(<{") - (char in "])>}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _argument(part):
    return re.match(r"\**\w+", part).group() + ("=" if " = " in part else "")


def _write_table(wheels):
    versions = json.loads(TABLE.read_text())["versions"] if TABLE.is_file() else {}
    for wheel in wheels:
        found = look(wheel)
        versions[".".join(found["version"].split(".")[:2])] = found
    order = sorted(versions, key=lambda line: tuple(map(int, line.split("."))))
    TABLE.write_text(_compact({"source": SOURCE, "versions": {line: versions[line] for line in order}}))


def _compact(table):
    """Write one class or enum a line."""
    text = json.dumps(table, separators=(",", ":"))
    return re.sub(r'(?<=[,{])(?="[\w.]+":\{)', "\n", text) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--look"]:
        json.dump(_look_inside(sys.argv[2]), sys.stdout)
    elif sys.argv[1:]:
        _write_table([Path(wheel) for wheel in sys.argv[1:]])
    else:
        with tempfile.TemporaryDirectory() as cache:
            _write_table([fetch(one, Path(cache) / line) for line, one in REQUIREMENTS.items()])
