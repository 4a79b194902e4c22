"""The files of a report: whole, whatever the names are, and readable again, old ones too."""

import shutil
from dataclasses import replace
from pathlib import Path

from sample_report import NASTY, named_run, refused_run, sample_run, sample_search, searched_run

from pipeline.report import load_report, write_report

FILES = ["junit.xml", "report.html", "report.json", "summary.md"]


def test_a_report_is_four_files_and_nothing_else(tmp_path: Path) -> None:
    write_report(sample_run(), tmp_path / "run")

    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == FILES
    assert load_report(tmp_path / "run") == sample_run()


def test_a_search_comes_back_as_it_went(tmp_path: Path) -> None:
    timed = tuple(replace(one, p50_ms=4.0) for one in sample_search().trials)  # NaN is equal to nothing
    write_report(searched_run(trials=timed), tmp_path)

    assert load_report(tmp_path) == searched_run(trials=timed)


def test_a_report_is_written_over_an_old_one(tmp_path: Path) -> None:
    write_report(sample_run(), tmp_path)
    write_report(refused_run(), tmp_path)

    assert load_report(tmp_path).verdict == "refuse"
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES


def test_names_that_are_no_text_still_give_a_report(tmp_path: Path) -> None:
    write_report(named_run(NASTY), tmp_path)

    assert load_report(tmp_path).notes == (NASTY.replace("\udcff", "\\udcff"),)
    assert all((tmp_path / name).read_text(encoding="utf-8") for name in FILES)


def test_a_report_of_the_first_version_is_read_and_shown_without_what_it_does_not_have(
    tmp_path: Path,
) -> None:
    shutil.copy(Path(__file__).with_name("schema-1.json"), tmp_path / "report.json")

    old = load_report(tmp_path)
    write_report(old, tmp_path)

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert old.schema == 1
    assert "openvino int8 ships, p50 3.90 ms" in text
    assert "What was lost on the way" in text
    assert "What mAP does not show" not in text
    assert "CoV, %" not in text
    assert load_report(tmp_path).schema == 1
