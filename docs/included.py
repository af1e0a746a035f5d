# ruff: noqa: INP001 - documentation is no package
"""Files that pages show, such as example DAGs: `python -m docs.included` writes them into the pages.

A comment ``<!-- file PATH -->`` names the file, and the code block below it is the file. So the pages can be
read where nobody builds them.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent

_PLACE = re.compile(r"(<!-- file ([\w./-]+) -->\n\n)```(\w+)[^\n]*\n.*?^```$", re.DOTALL | re.MULTILINE)


def written(page: str) -> str:
    """Return a page with its files as they are."""
    return _PLACE.sub(_block, page)


def _block(place: re.Match[str]) -> str:
    content = (DOCS.parent / place[2]).read_text(encoding="utf-8").rstrip()
    return f'{place[1]}```{place[3]} title="{place[2]}"\n{content}\n```'


if __name__ == "__main__":
    for path in DOCS.rglob("*.md"):
        path.write_text(written(path.read_text(encoding="utf-8")), encoding="utf-8")
