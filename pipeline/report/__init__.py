"""The report of a run: for machines (JSON, JUnit) and for people (HTML, Markdown)."""

from __future__ import annotations

from pathlib import Path

from pipeline.files import explained, write_atomically
from pipeline.ladder import RunReport
from pipeline.report.load import FILE_NAME, load_report, parse_report

__all__ = ["load_report", "parse_report", "write_report"]


def write_report(report: RunReport, run_dir: Path) -> None:
    """Write `report.json`, `report.html`, `junit.xml` and `summary.md` into the folder `run_dir`.

    Raises:
        StoreError: The folder cannot be written, or the disk is full; every file is old or new, none is half.
    """
    from pipeline.report.gallery import album_of
    from pipeline.report.html import page
    from pipeline.report.junit import junit
    from pipeline.report.markdown import markdown

    with explained(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(run_dir / FILE_NAME, f"{report.to_json(indent=1)}\n".encode())
    texts = {
        "report.html": page(report, album_of(report, run_dir)),
        "junit.xml": junit(report),
        "summary.md": markdown(report),
    }
    for name, text in texts.items():
        write_atomically(run_dir / name, text.encode(errors="replace"))
