"""Troubleshooting by message: every error has its place, and each message is one that the code can say."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.documentation.pages import ROOT, page
from tests.documentation.public import ERRORS

PAGE = page("troubleshooting.md")
MESSAGES = re.findall(r"^> `(.+)`$", PAGE, re.MULTILINE)


@cache
def said() -> list[str]:
    """Return every text in the package's code but the emulator's, with … for what is put in."""
    package = ROOT / "airflow_provider_adfruns"
    files = [path for path in package.rglob("*.py") if "emulator" not in path.relative_to(package).parts]
    return [
        _text(node)
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    ]


def _text(node: ast.JoinedStr | ast.Constant) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in node.values)


@pytest.mark.parametrize("message", MESSAGES)
def test_each_message_is_one_that_the_code_says(message: str) -> None:
    pattern = ".*?".join(re.escape(part) for part in message.split("…"))
    assert any(re.search(pattern, text) for text in said())


def test_every_error_has_its_place() -> None:
    assert re.findall(r"^## `(\w+)`$", PAGE, re.MULTILINE) == ERRORS
