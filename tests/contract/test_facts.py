"""The list of facts: its words are the collection's, its tests exist, and no marked statement is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.facts import FACTS, Fact

TESTS = Path(__file__).parents[1]
FILE = TESTS.parent.parent / "shared" / "adf-api" / "FACTS.md"
NAMES = {
    name
    for path in TESTS.rglob("test_*.py")
    for name in [
        path.stem,
        *re.findall(r"^\s*def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE),
    ]
}
# Sections that tell what the emulator does; "What users ask for" and the head do not.
SECTIONS = ("Operations", "Statuses", "Wire forms", "Cancel", "Rerun", "Dependencies", "Limits")
NEAR = 150

needs_facts = pytest.mark.skipif(not FILE.exists(), reason=f"the collection of facts is not at hand: {FILE}")


def plain(text: str) -> str:
    return " ".join(text.split())


def sections() -> list[str]:
    """Return the texts of the collection's sections on the service."""
    parts = re.split(r"^## (.*)$", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    headings = zip(parts[1::2], parts[2::2], strict=True)
    return [plain(text) for heading, text in headings if heading.startswith(SECTIONS)]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.words)
def test_a_fact_is_held_by_tests_that_exist_or_is_a_deviation(fact: Fact) -> None:
    assert fact.tests or fact.deviation
    assert set(fact.tests) <= NAMES


@needs_facts
def test_every_fact_is_in_the_collection() -> None:
    everything = " ".join(sections())
    assert [fact.words for fact in FACTS if plain(fact.words) not in everything] == []


@needs_facts
def test_no_marked_statement_is_left_out() -> None:
    """Near every mark, such as [R], there are words of some fact."""
    left_out = []
    for text in sections():
        told = [(text.find(plain(fact.words)), len(plain(fact.words))) for fact in FACTS]
        for mark in re.finditer(r"\[[RSD](?:,[^\]]*)?\]", text):
            near = range(mark.start() - NEAR, mark.end())
            if not any(begin >= 0 and (begin in near or begin + length in near) for begin, length in told):
                left_out.append(text[near.start : near.stop])
    assert left_out == []
