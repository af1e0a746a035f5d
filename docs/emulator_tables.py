# ruff: noqa: INP001 - documentation is no package
"""Writes into docs/emulator.md what the code says itself: ``python -m docs.emulator_tables``.

The parts between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` are its; the rest of the page is written
by hand. A test fails where the page is not up to date.
"""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_adfruns.emulator import control, definitions, faults, routes
from tests.contract.facts import FACTS

PAGE = Path(__file__).parent / "emulator.md"
EXAMPLE = Path(__file__).parent / "example_test"


def operations() -> str:
    """Return the table of the operations served."""
    lines = ["| Operation | Call, after `…/factories/{factory}` | Counted as |", "|---|---|---|"]
    for each in routes.OPERATIONS:
        path = "/" + "/".join("{name}" if part == "*" else part for part in each.path) if each.path else ""
        lines.append(
            f"| {each.name} | `{each.method} {path}`".rstrip("` ")
            + f"` | {'write' if each.writes else 'read'} |"
        )
    return "\n".join(lines)


def control_calls() -> str:
    """Return the table of the control API."""
    lines = ["| Call | Does |", "|---|---|"]
    lines += [f"| `{each.method} {each.shown}` | {_cell(each.summary)} |" for each in control.ROUTES]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def fault_words() -> str:
    """Return what a fault can say."""
    return _words(faults.Fault)


def cancel_words() -> str:
    """Return what can be said of a cancel."""
    return _words(definitions.CancelScript)


def _words(kind: type) -> str:
    """Return what each parameter of a class means, from its own documentation."""
    text = re.sub(r"\n\s{8,}", " ", kind.__doc__ or "")
    words = re.findall(r":param (\w+): (.*)", text)
    return "\n".join(
        ["| Word | Means |", "|---|---|"] + [f"| `{word}` | {_cell(does)} |" for word, does in words]
    )


def example() -> str:
    """Return the files of the example, as they are run by the tests."""
    files = [("test_rerun_last_night.py", "python"), ("orders.yaml", "yaml"), ("conftest.py", "python")]
    return "\n\n".join(
        f"`{name}`\n\n```{language}\n{(EXAMPLE / name).read_text(encoding='utf-8').rstrip()}\n```"
        for name, language in files
    )


def deviations() -> str:
    """Return what is known of the service and done otherwise."""
    return "\n".join(f'- "{_statement(each.words)}": {each.deviation}' for each in FACTS if each.deviation)


def _statement(words: str) -> str:
    return words.strip("-| ").replace("**", "")


PARTS = {
    "deviations": deviations,
    "operations": operations,
    "control calls": control_calls,
    "fault words": fault_words,
    "cancel words": cancel_words,
    "example": example,
}


def written(page: str) -> str:
    """Return the page with its parts as they should be; ValueError where it has no place for one."""
    for name, part in PARTS.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"{PAGE.name} needs one {begin} and one {end}")
        head, rest = page.split(begin)
        page = f"{head}{begin}\n\n{part()}\n\n{end}{rest.split(end)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
