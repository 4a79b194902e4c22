import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_interrupt_inside_an_exec_still_gives_our_exit_code(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "import typer\nfrom pipeline.cli.options import errors\n"
        "try:\n    with errors():\n        exec('raise KeyboardInterrupt')\n"
        "except typer.Exit as exc:\n    sys.exit(exc.exit_code)\n"
    )

    done = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, capture_output=True, text=True)

    assert "Interrupted." in done.stderr
    assert done.returncode == 130
