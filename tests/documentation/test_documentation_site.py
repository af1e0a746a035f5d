"""The documentation as a site: what its builder does not check of the pages and links."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.documentation.pages import DOCS, ROOT, names

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def in_navigation(entries: list[dict[str, object]]) -> Iterator[str]:
    """Yield the pages that the navigation names."""
    for entry in entries:
        for leads_to in entry.values():
            if isinstance(leads_to, list):
                yield from in_navigation(leads_to)
            else:
                yield str(leads_to)


def test_the_navigation_has_every_page_once() -> None:
    assert sorted(in_navigation(CONFIG["nav"])) == names()


@pytest.mark.parametrize("name", names())
def test_each_page_has_one_title(name: str) -> None:
    text = re.sub(
        r"^```.*?^```$", "", (DOCS / name).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1


def test_each_link_of_the_readme_into_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
