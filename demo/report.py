"""The report as one page of HTML, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """Hold what one page showed when it was run."""

    title: str
    text: str
    source: str
    images: Sequence[str]
    captions: Sequence[str]
    numbers: Mapping[str, object]
    seconds: float
    limits: str = ""
    error: str = ""


STYLE = (Path(__file__).parent / "report.css").read_text("utf-8")

LONG = 45


def html(parts: Sequence[Part], version: str, machine: str, date: str) -> str:
    """Return the whole report."""
    contents = "\n".join(
        f'<li><a href="#part{number}">{escape(part.title)}</a></li>'
        for number, part in enumerate(parts, start=1)
    )
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Recurra {escape(version)}: demo</title>
<style>{STYLE}</style></head>
<body>
<header><h1>What Recurra does</h1>
<p>Each part below was run to make this page; the code is shown as it was run and the numbers were
measured in that run.</p>
<p class="soft">Recurra {escape(version)}, {escape(machine)}, {escape(date)};
{sum(part.seconds for part in parts):.0f} s in all, compilation included.</p>
<nav><ol>{contents}</ol></nav></header>
<main>
{"".join(section(part, number) for number, part in enumerate(parts, start=1))}
</main>
</body>
</html>
"""


def section(part: Part, number: int) -> str:
    """Return one part of the report."""
    pieces = [f'<section id="part{number}"><h2>{escape(part.title)}</h2>', f"<p>{escape(part.text)}</p>"]
    if part.error:
        pieces.append(f'<p class="bad">This part failed: {escape(part.error)}</p>')
    for position, image in enumerate(part.images):
        caption = part.captions[position] if position < len(part.captions) else ""
        pieces.append(
            f'<figure><img src="{escape(image)}" alt="{escape(caption or part.title)}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    if part.numbers:
        cells = [(escape(name), escape(str(value))) for name, value in part.numbers.items()]
        rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in cells)
        pieces.append(f"<table>{rows}</table>")
    if part.limits:
        pieces.append(f"<p><strong>What it does not show.</strong> {escape(part.limits)}</p>")
    lines = part.source.count("\n")
    code = f"<pre>{escape(part.source)}</pre>"
    if lines > LONG:
        code = f"<details><summary>The code ({lines} lines)</summary>{code}</details>"
    pieces.append(code)
    pieces.append(f'<p class="soft">Took {part.seconds:.1f} s.</p></section>')
    return "\n".join(pieces)
