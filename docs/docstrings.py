"""Let the site show docstrings as they are meant: doctests as code, and roles of Sphinx as names."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")
REMARK = re.compile(r"^Arguments \((.+)\):$", flags=re.MULTILINE)


def readable(text: str) -> str:
    """Return a docstring as the site can show it.

    >>> print(readable("Set :attr:`x`.\\n\\nArguments (texts are drawn):\\n    x: a number."))
    Set `x`.
    <BLANKLINE>
    Among the arguments, texts are drawn.
    <BLANKLINE>
    Arguments:
        x: a number.
    """
    text = REMARK.sub(r"Among the arguments, \1.\n\nArguments:", text)
    return with_fences(ROLE.sub(r"`\1`", text))


def with_fences(text: str) -> str:
    """Return a docstring whose doctests stand in fences.

    >>> with_fences("Add.\\n\\n>>> 1 + 1\\n2").splitlines()
    ['Add.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if not inside and line.lstrip().startswith(">>> "):
            inside = True
            lines.append("```pycon")
        elif inside and not line.strip():
            inside = False
            lines.append("```")
        lines.append("" if line.strip() == "<BLANKLINE>" else line)
    return "\n".join([*lines, "```"] if inside else lines)


class Docstrings(griffe.Extension):
    """Rewrite each docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)
