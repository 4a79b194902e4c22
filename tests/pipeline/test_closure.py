from pathlib import Path

import pytest

from pipeline import closure
from pipeline.closure import code_of


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small house with the same first-party names."""
    for name, text in {
        "stages/__init__.py": "",
        "stages/a.py": "def run():\n    from stages.b import word\n    import numpy\n    import json\n",
        "stages/b.py": "from targets import table\nword = 'b'\n",
        "stages/other.py": "word = 'other'\n",
        "targets/__init__.py": "",
        "targets/table/__init__.py": "",
        "targets/table/ops.csv": "Conv,1\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(closure, "_ROOT", tmp_path)
    yield tmp_path
    forget()


def forget() -> None:
    for cached in (closure.code_of, closure._imports, closure._digest):
        cached.cache_clear()


def digest() -> str:
    forget()
    return code_of("stages.a").digest


@pytest.mark.parametrize(
    "file", ["stages/a.py", "stages/b.py", "stages/__init__.py", "targets/table/ops.csv"]
)
def test_a_change_anywhere_in_the_import_closure_counts(house: Path, file: str) -> None:
    before = digest()
    (house / file).write_text((house / file).read_text() + "\n")

    assert digest() != before


def test_a_change_elsewhere_does_not_count(house: Path) -> None:
    before = digest()
    (house / "stages/other.py").write_text("word = 'changed'\n")

    assert digest() == before


def test_the_versions_of_foreign_packages_count(house: Path) -> None:
    forget()

    assert list(code_of("stages.a").tools) == ["numpy"]


def test_every_stage_has_a_closure_of_its_own() -> None:
    forget()
    digests = {
        name: code_of(f"stages.{name}").digest for name in ("data", "train", "export", "quantize", "build")
    }

    assert len(set(digests.values())) == len(digests)
    assert "torch" in code_of("stages.train").tools
    assert "ultralytics" not in code_of("stages.quantize").tools
