"""Write what DeepStream's nvinfer needs from a TensorRT engine: the plain plan, a configuration, the labels.

```
python3 write_config.py /opt/steel deepstream/
g++ -shared -fPIC -O2 -o deepstream/libedgebound_parser.so parser.cpp \
    -I /opt/nvidia/deepstream/deepstream/sources/includes
gst-launch-1.0 … nvinfer config-file-path=deepstream/config_infer_primary.txt ! …
```
Without an installation: PYTHONPATH=agent.pyz python3 write_config.py …

The engine's signature and files are verified first, as `Detector.open` does. nvinfer does not know the raw output
(4 + classes, anchors); `parser.cpp` reads it. The end-to-end output (detections, 6) it does not read.

nvinfer does not prepare pictures as the gate did: it pads with black where we pad with grey, and scales on the
GPU. So accuracy under DeepStream is not what the report says. None of this has run under DeepStream yet.
"""

import argparse
import shutil
import sys
from pathlib import Path

from targets.engine import Manifest, open_engine
from targets.errors import EdgeboundError, UnsupportedError
from targets.model import ModelSpec, load_model_spec
from targets.release.admit import admit
from targets.release.place import find_place

PLAN = "engine.plan"
MODES = {"fp32": 0, "int8": 1, "fp16": 2}  # network-mode of nvinfer; a plan has its types in it already


def main() -> int:
    """Write the files, and give the exit code."""
    parser = argparse.ArgumentParser(description="Write a configuration for DeepStream.")
    parser.add_argument("engine", type=Path, help="folder that a release was pulled to")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--trust", type=Path, help="trust policy; default: this machine's")
    parser.add_argument("--allow-unsigned", action="store_true", help="take an engine that nobody signed")
    asked = parser.parse_args()
    try:
        place = find_place(asked.engine)
        admit(place, asked.trust, allow_unsigned=asked.allow_unsigned)
        write(place.engine, asked.out)
    except EdgeboundError as exc:
        print(f"{exc.what}\n  {exc.hint}", file=sys.stderr)
        return exc.code
    return 0


def write(engine: Path, out: Path) -> None:
    """Write plan, configuration and labels."""
    manifest, spec = open_engine(engine), load_model_spec(engine)
    if manifest.runtime != "tensorrt" or spec.output != "raw":
        raise UnsupportedError(
            f"DeepStream runs TensorRT plans, and the parser reads raw outputs; {engine} is {manifest.runtime},"
            f" {spec.output}.",
            hint="Pull the engine of a Jetson or another NVIDIA GPU.",
        )
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(engine / PLAN, out / PLAN)
    (out / "labels.txt").write_text("".join(f"{name}\n" for name in spec.class_names), encoding="utf-8")
    (out / "config_infer_primary.txt").write_text(configuration(manifest, spec), encoding="utf-8")


def configuration(manifest: Manifest, spec: ModelSpec) -> str:
    """Give `config_infer_primary.txt`; names of keys as in NVIDIA's "Gst-nvinfer" manual."""
    properties = {
        "gpu-id": 0,
        "model-engine-file": PLAN,
        "labelfile-path": "labels.txt",
        "batch-size": 1,
        "network-mode": MODES[manifest.precision],
        "network-type": 0,  # a detector
        "process-mode": 1,  # of whole frames
        "num-detected-classes": len(spec.class_names),
        "net-scale-factor": f"{spec.input.scale:.10g}",
        "model-color-format": 0,  # RGB
        "infer-dims": f"3;{spec.input.height};{spec.input.width}",
        "maintain-aspect-ratio": 1,
        "symmetric-padding": 1,
        "gie-unique-id": 1,
        "cluster-mode": 2,  # NMS
        "parse-bbox-func-name": "NvDsInferParseEdgebound",
        "custom-lib-path": "libedgebound_parser.so",
    }
    classes = {"pre-cluster-threshold": spec.conf, "nms-iou-threshold": spec.iou, "topk": spec.max_det}
    sections = {"property": properties, "class-attrs-all": classes}
    return "\n".join(
        "".join([f"[{name}]\n", *(f"{key}={value}\n" for key, value in table.items())])
        for name, table in sections.items()
    )


if __name__ == "__main__":
    sys.exit(main())
