"""Run the Python of a page: catch what each block prints, and save the figures that the page shows.

MkDocs takes this file as a hook, so that a build without figures leaves them out.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import tempfile
from pathlib import Path
from typing import Any

# A fenced block, or a picture of docs/figures; the picture shows the last figure of the block above it.
PART = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$"
    r"|!\[(?P<alt>[^\]]*)\]\([./]*figures/(?P<figure>[\w.]+)\)",
    flags=re.DOTALL | re.MULTILINE,
)
EXPECTED = re.compile(r"^ *#> ?(.*)$", flags=re.MULTILINE)
END = "\0"  # is printed after each block
SAVE = """import matplotlib.pyplot as _p
_p.figure(_p.get_fignums()[-1]).savefig({!r}, bbox_inches="tight")
_p.close("all")"""


def blocks(page: Path) -> list[str]:
    """Return the blocks of a page that are run; others are fenced as `text`, `py` (not run), `yaml`."""
    return [part["text"] for part in PART.finditer(page.read_text("utf-8")) if part["language"] == "python"]


def expected(block: str) -> str:
    """Return what a block says that it prints: its lines after `#> `."""
    return "\n".join(line.rstrip() for line in EXPECTED.findall(block))


def script(page: Path, figures: Path) -> str:
    """Return one script of all blocks, in which figures are saved where the page shows them."""
    lines: list[str] = []
    for part in PART.finditer(page.read_text("utf-8")):
        if part["language"] == "python":
            lines += [part["text"], f"print({END!r})"]
        elif part["figure"]:
            lines.insert(-1, SAVE.format(str(figures / part["figure"])))
    return "\n".join(lines)


def run(page: Path, folder: Path, figures: Path) -> tuple[list[str], dict[str, Any]]:
    """Run the blocks of a page in their order, in one namespace.

    Arguments:
        page: a file in Markdown.
        folder: where the script is written.
        figures: where its figures go.

    Returns:
        What each block printed, and the namespace at the end.
    """
    path = folder / f"page_{page.stem}.py"
    path.write_text(script(page, figures), "utf-8")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        names = runpy.run_path(str(path))
    printed = out.getvalue().split(f"{END}\n")[:-1]
    return ["\n".join(line.rstrip() for line in text.splitlines()) for text in printed], names


def draw(pages: list[Path], figures: Path) -> None:
    """Run the pages that show figures, each in an empty folder, and save these as files of a folder."""
    figures.mkdir(exist_ok=True)
    for page in pages:
        if "figures/" in page.read_text("utf-8"):
            print(f"figures of {page.name}", flush=True)
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
                run(page, Path(folder), figures)


def on_page_markdown(markdown: str, *, config: Any, **_: Any) -> str:
    """Leave out pictures that were not drawn for this build."""
    figures = Path(config["docs_dir"]) / "figures"

    def shown(part: re.Match[str]) -> str:
        return "" if part["figure"] and not (figures / part["figure"]).exists() else part[0]

    return PART.sub(shown, markdown)
