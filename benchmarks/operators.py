"""The table of `docs/operators.md`: what each runtime and version has against each family of detectors.

```
python -m benchmarks.operators yolo11n=yolo11n.onnx rtdetr-l=rtdetr-l.onnx …
```
prints Markdown: a row a family, a column a runtime and version, from `pipeline check`. It measures no time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.inspect import Inspected, inspect
from pipeline.profiles import find_profile
from targets.profile import TargetProfile

# One target for each version that some profile has, without what is known of a board and not of operators.
TARGETS = ("orin@5.1", "orin@6.0", "orin@6.2", "thor@7.0", "thor@7.2", "orin@7.2.2", "cpu", "cpu-ort")


def main(arguments: list[str]) -> None:
    """Check every model and print the table, then what stands behind its cells."""
    models = dict(argument.split("=", 1) for argument in arguments)
    profiles = {target: find_profile(target) for target in TARGETS}
    found = {family: inspect(Path(path), profiles) for family, path in models.items()}
    print("| family | " + " | ".join(map(_heading, profiles.values())) + " |")
    print("|---|" + "---|" * len(profiles))
    for family, answers in found.items():
        print(f"| {family} | " + " | ".join(_cell(answers[target]) for target in TARGETS) + " |")
    print()
    for family, answers in found.items():
        reasons = [f"{one.op}: {one.reason}" for answer in answers.values() for one in answer.findings]
        for reason in dict.fromkeys(reasons):
            print(f"- {family}: {reason}")


def _heading(profile: TargetProfile) -> str:
    name = {"tensorrt": "TensorRT", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}[profile.runtime]
    return f"{name} {profile.runtime_version}".strip()


def _cell(answer: Inspected) -> str:
    errors = sorted({one.op for one in answer.findings if one.severity == "error"})
    warnings = sorted({one.op for one in answer.findings if one.severity == "warning"})
    if errors:
        return f"**no**: {', '.join(errors)}"
    return f"yes; see {', '.join(warnings)}" if warnings else "yes"


if __name__ == "__main__":
    main(sys.argv[1:])
