"""The pages of the documentation as the tests read them: snippets put in, code blocks, tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import airflow_provider_adfruns

ROOT = Path(airflow_provider_adfruns.__file__).parent.parent
DOCS = ROOT / "docs"

_SNIPPET = re.compile(r'^--8<-- "([^":]+)(?::\d*:?)?"$', re.MULTILINE)


class Block(NamedTuple):
    """A code block, with where it stands for the names of tests."""

    name: str
    code: str


def names() -> list[str]:
    """Return every page's path below docs."""
    return sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def page(name: str) -> str:
    """Return a page with its snippets put in."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return _SNIPPET.sub(lambda found: (ROOT / found[1]).read_text(encoding="utf-8"), text)


def blocks(name: str, text: str, language: str) -> list[Block]:
    """Return the code blocks of one language."""
    found = re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(f"{name}, block {number}", code) for number, code in enumerate(found, 1)]


def table(text: str, marker: str) -> list[list[str]]:
    """Return the cells of the table that follows a comment ``<!-- marker -->``, without its head."""
    _, found, rest = text.partition(f"<!-- {marker} -->\n\n")
    assert found, f"there is no <!-- {marker} --> with a table below it"
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def code_in(cell: str) -> list[str]:
    """Return what a cell shows as code."""
    return re.findall(r"`([^`]+)`", cell)
