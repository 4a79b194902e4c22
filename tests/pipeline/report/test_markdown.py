"""The run as Markdown, for a pull request."""

import re
from dataclasses import replace

from sample_report import (
    NASTY,
    cut_run,
    failed_run,
    refused_run,
    sample_ladder,
    sample_run,
    sample_target,
    searched_run,
)

from pipeline.report.markdown import markdown


def test_the_summary_says_verdict_reasons_and_ladder() -> None:
    lines = markdown(refused_run()).splitlines()

    assert lines[0] == "## ✕ Edgebound: refused"
    assert "- onnx int8: step drift 53.00 pt (95 % interval 51.80 to 54.10), limit 1.00 pt" in lines
    drift = "53.00 (51.80 to 54.10)"
    assert f"| onnx int8 | ✕ refused | 0.011 | {drift} | {drift} | – | – | 3.4 MB |" in lines


def test_the_summary_says_what_ships() -> None:
    text = markdown(sample_run())

    assert "**openvino int8 ships, p50 3.90 ms, 3.4 MB, drift 0.59 pt (95 % interval 0.29 to 0.89)**" in text
    assert "| **openvino int8** | ✓ pass, ships |" in text


def test_a_cut_that_is_not_tuned_is_no_pass() -> None:
    assert "| cut pytorch fp32 | not judged | 0.007 | 53.40 (53.10 to 53.70) |" in markdown(cut_run())


def test_the_summary_says_what_changed() -> None:
    lines = markdown(sample_run()).splitlines()

    assert (
        "- openvino int8: recall 0.834 → 0.828; precision 0.871 → 0.865 at confidence 0.25; "
        "47 of 1702 detections lost, 35 gained; worst class hole, AP50 loss 0.59 pt"
    ) in lines


def test_a_summary_fits_into_a_comment_whatever_there_is_to_say() -> None:
    target = replace(refused_run().targets["cpu"], reasons=tuple(f"{n} " + "x" * 900 for n in range(200)))
    report = replace(refused_run(), targets={f"t{n}": target for n in range(20)})

    text = markdown(report)

    assert len(text) < 65_000
    assert text.startswith("## ✕ Edgebound: refused")
    assert "- …and 190 more, in report.html" in text
    assert text.endswith("\n…and more, in report.html.\n")


def test_the_summary_says_what_a_search_tried() -> None:
    lines = markdown(searched_run()).splitlines()

    assert "Drift budget 0.50 pt against onnx fp32, 5 trials:" in lines
    assert "| nothing | 1.62 (1.40 to 1.86) | 3.61 | 62.0 |" in lines
    assert "| **2 of 52 blocks**, chosen | 0.44 (0.22 to 0.68) | 3.78 | 68.0 |" in lines


def test_an_error_is_said_with_its_hint() -> None:
    text = markdown(failed_run("no key `names`", "add it"))

    assert "**no key \\`names\\`**" in text
    assert "Hint: add it" in text


def test_names_cannot_become_markdown() -> None:
    lossy = replace(sample_ladder()[4].classes[0], ap50_loss_pt=20.0, ci=(15.0, 25.0), name=NASTY)
    rungs = sample_ladder(classes=(lossy,), drift_pt=9.0, drift_ci_pt=(8.0, 9.9))

    text = markdown(sample_run(cpu=sample_target(*rungs)))

    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\`x\\` \\*b\\* " in text
    assert "@" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}
