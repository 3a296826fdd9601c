"""Run every page and write demo_output/index.html, with the figures as PNG files beside it."""

from __future__ import annotations

import os
import platform
import runpy
import sys
import time
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).parent))

import matplotlib.pyplot as plt
from pages import PAGES, Page
from report import Part, html

import recurra

OUTPUT = Path(__file__).parent.parent / "demo_output"


def run_page(page: Page, number: int, output: Path = OUTPUT) -> Part:
    """Run one script, save its figures in a folder and measure it; a failure becomes part of the report."""
    plt.close("all")
    begun = time.perf_counter()
    images, numbers, error = [], {}, ""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*non-interactive.*")
            names = runpy.run_path(str(page.script), run_name="__main__")
        numbers = page.measure(names)
    except (Exception, SystemExit) as problem:
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}"
    seconds = time.perf_counter() - begun
    for position, figure in enumerate(plt.get_fignums(), start=1):
        name = f"{number:02d}_{page.script.stem}_{position}.png"
        if page.dress is not None:
            page.dress(plt.figure(figure))
        plt.figure(figure).savefig(output / name, dpi=150, facecolor="white", bbox_inches="tight")
        images.append(name)
    return Part(page.title, page.text, page.script.read_text("utf-8"), images, page.captions, numbers,
                seconds, page.limits, error)  # fmt: skip


def main() -> int:
    """Build the report and say where it is; return 1 if a page failed."""
    OUTPUT.mkdir(exist_ok=True)
    for old in OUTPUT.glob("*.png"):
        old.unlink()
    parts = []
    for number, page in enumerate(PAGES, start=1):
        print(f"[{number}/{len(PAGES)}] {page.title}", flush=True)
        parts.append(run_page(page, number))
        print(f"    {parts[-1].seconds:.1f} s" + (f", FAILED: {parts[-1].error}" if parts[-1].error else ""))
    machine = f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores"
    index = OUTPUT / "index.html"
    index.write_text(html(parts, recurra.__version__, machine, time.strftime("%Y-%m-%d %H:%M")), "utf-8")
    print(f"\nThe report is at {index}")
    return 1 if any(part.error for part in parts) else 0


if __name__ == "__main__":
    sys.exit(main())
