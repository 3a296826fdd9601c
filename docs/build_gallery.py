"""Write the pages of the gallery, one for each page of the demo, into docs/gallery, and the figures of the other pages.

`python docs/build_gallery.py` runs the examples and the pages with figures, which takes minutes; with `--text` nothing
is run, and pages hold their text and code only.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).parent.parent / "demo"))

from pages import PAGES, Page
from report import Part

from code_blocks import draw

DOCS = Path(__file__).parent
GALLERY, FIGURES = DOCS / "gallery", DOCS / "figures"
WIDTH = 480  # of a thumbnail, in pixels


def text_only(page: Page) -> Part:
    """Return a page whose script was not run."""
    return Part(page.title, page.text, page.script.read_text("utf-8"), (), (), {}, 0.0, page.limits)


def thumbnail(image: str) -> str:
    """Make a small picture of a figure, and return its name."""
    from PIL import Image

    name = f"small_{image}"
    with Image.open(GALLERY / image) as picture:
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(GALLERY / name)
    return name


def markdown(part: Part, script: str) -> str:
    """Return one page of the gallery."""
    lines = [f"# {part.title}", "", part.text, ""]
    for position, image in enumerate(part.images):
        caption = part.captions[position] if position < len(part.captions) else part.title
        lines += [f"![{caption}]({image})", "", f"*{caption}*", ""]
    if part.numbers:
        lines += ["| measured in this run | |", "|---|---|"]
        lines += [f"| {cell(name)} | {cell(value)} |" for name, value in part.numbers.items()] + [""]
    if part.limits:
        lines += [f"**What it does not show.** {part.limits}", ""]
    lines += [f"## The code: `examples/{script}`", "", "```python", part.source.rstrip(), "```", ""]
    if part.seconds:
        lines += [f"Took {part.seconds:.1f} s, compilation included.", ""]
    return "\n".join(lines)


def cell(value: Any) -> str:
    """Return a text that can stand in a cell of a table."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def card(part: Part, name: str) -> str:
    """Return the entry of a page in the index."""
    picture = f"![]({thumbnail(part.images[0])})" if part.images else ""
    return f"[{picture} {part.title}]({name})"


def main(arguments: list[str]) -> int:
    """Write all pages; return 1 if a script failed."""
    for folder in (GALLERY, FIGURES):
        shutil.rmtree(folder, ignore_errors=True)
    GALLERY.mkdir()
    if "--text" not in arguments:
        draw(sorted(DOCS.rglob("*.md")), FIGURES)
    failed, cards = 0, []
    for number, page in enumerate(PAGES, start=1):
        if "--text" in arguments:
            part = text_only(page)
        else:
            from run import run_page

            print(f"[{number}/{len(PAGES)}] {page.title}", flush=True)
            part = run_page(page, number, GALLERY)
        failed += bool(part.error)
        name = f"{page.script.stem}.md"
        (GALLERY / name).write_text(markdown(part, page.script.name), "utf-8")
        cards.append(card(part, name))
    note = "Every page is a script of the folder `examples`, run to make this site."
    if "--text" in arguments:
        note = "Every page is a script of the folder `examples`. Figures are left out of this build."
    head = ["---", "hide: [toc]", "---", "", "# Gallery", "", note, ""]
    text = [*head, '<div class="cards" markdown>', "", "\n\n".join(cards), "", "</div>", ""]
    (GALLERY / "index.md").write_text("\n".join(text), "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
