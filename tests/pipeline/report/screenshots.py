"""Take the pictures of docs/report.md: `python tests/pipeline/report/screenshots.py REPORT.html FOLDER`."""

import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path

from PIL import Image

# name: width in pixels, dark, from which heading, at most so high
SHOTS = {
    "top.png": (1280, False, "", 1500),
    "phone.png": (390, False, "", 1700),
    "dark.png": (1280, True, "What mAP does not show", 1500),
    "pictures.jpg": (1280, False, "Pictures that changed most", 1100),
}
FLAGS = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
COLOURS = 256  # of the palette: a screenshot of text needs no more, and a repository stays small
HOST = """<!doctype html><style>body {{ margin: 0 }}</style>
<iframe style="border:0" width="{width}" height="{height}" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const heading = [...page.querySelectorAll("h3")].find((one) => one.textContent === "{heading}");
  document.documentElement.dataset.top = heading ? Math.round(heading.getBoundingClientRect().top) - 24 : 0;
  document.documentElement.dataset.height = page.documentElement.scrollHeight;
}});</script>"""


def shoot(page: str, out: Path, *, width: int, dark: bool, heading: str, most: int) -> None:
    """Take one picture, in a frame: no window is as narrow as a phone."""
    with tempfile.TemporaryDirectory() as folder:
        host = Path(folder) / "host.html"
        flags = (
            *FLAGS,
            f"--user-data-dir={folder}/profile",
            f"--blink-settings=preferredColorScheme={int(not dark)}",
        )

        def open_with(height: int, *more: str) -> str:
            host.write_text(
                HOST.format(width=width, height=height, page=escape(page), heading=heading), encoding="utf-8"
            )
            return subprocess.run(
                [*flags, *more, host.as_uri()], capture_output=True, text=True, check=True
            ).stdout

        told = dict(re.findall(r'data-(top|height)="(\d+)"', open_with(900, "--dump-dom")))
        top, height = int(told["top"]), int(told["height"])
        open_with(height, f"--window-size={max(width, 520)},{height}", f"--screenshot={folder}/whole.png")
        whole = Image.open(f"{folder}/whole.png").convert("RGB")
    part = whole.crop((0, top, width, min(top + most, height)))
    keep(part, out)


def keep(image: Image.Image, out: Path) -> None:
    """Write a small file: photographs as JPEG, the rest with a palette."""
    if out.suffix == ".png":
        image = image.quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(out, optimize=True, quality=80)


def print_pages(page: str, out: Path) -> None:
    """Print the page and keep the first two sheets of paper."""
    import pypdfium2  # pip install pypdfium2: no test needs it

    with tempfile.TemporaryDirectory() as folder:
        file, pdf = Path(folder) / "page.html", Path(folder) / "page.pdf"
        file.write_text(page, encoding="utf-8")
        flags = (*FLAGS, f"--user-data-dir={folder}/profile", "--no-pdf-header-footer")
        subprocess.run([*flags, f"--print-to-pdf={pdf}", file.as_uri()], capture_output=True, check=True)
        sheets = [sheet.render(scale=1.25).to_pil() for sheet in pypdfium2.PdfDocument(pdf)][:2]
        both = Image.new("RGB", (sum(one.width for one in sheets) + 20, sheets[0].height), "#888")
        for place, one in enumerate(sheets):
            both.paste(one, (place * (one.width + 20), 0))
        keep(both, out)


if __name__ == "__main__":
    text, folder = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (width, dark, heading, most) in SHOTS.items():
        shoot(text, folder / name, width=width, dark=dark, heading=heading, most=most)
    print_pages(text, folder / "print.png")
