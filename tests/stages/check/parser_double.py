"""A test double of the package `tensorrt`, as far as a parser needs it.

`install` writes it into a folder as pip would. It has the names of one real version and no others
(`trt_parser_api.json`), so a name that this version lacks is an AttributeError here too. What it refuses, a
test decides; nothing of it is known to the product.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

API = json.loads((Path(__file__).parent / "trt_parser_api.json").read_text())["versions"]
Manner = Literal["tells", "marks", "is silent", "crashes", "hangs", "has no GPU"]


def install(folder: Path, version: str, *, refuses: Sequence[str] = (), manner: Manner = "tells") -> None:
    """Make `import tensorrt` give the double, once `folder` is on the path.

    Args:
        folder: Becomes a folder of packages.
        version: One of `API`.
        refuses: Operators that its parser does not take.
        manner: How it answers: tells what it refuses, only marks the nodes, says nothing, or does not answer.
    """
    info = folder / f"tensorrt-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n")
    (info / "top_level.txt").write_text("tensorrt\n")
    shutil.copy(Path(__file__).parent / "tensorrt_double.py", folder / "tensorrt.py")
    record = {"version": version, "api": API[version], "refuses": [*refuses], "manner": manner}
    (folder / "tensorrt_double.json").write_text(json.dumps(record))
