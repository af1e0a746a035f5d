# ruff: noqa: INP001 - documentation is no package
"""How the reference reads docstrings: a griffe extension for what the parser of fields does not know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from griffe import Object

_FIELD = re.compile(r":(param|raises|return|returns)\b")


class FieldsLast(griffe.Extension):
    """Let a docstring's fields end where their paragraph ends, as its writers mean it.

    The parser adds to the last field all that follows, also what stands behind an empty line, such as what a
    task leaves in XCom. So such paragraphs are put before the fields.
    """

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Arrange an object's docstring anew."""
        if obj.docstring is not None:
            obj.docstring.value = fields_last(obj.docstring.value)


def fields_last(text: str) -> str:
    """Return a docstring with its paragraphs first and its fields last, each in their order.

    :param text: the docstring, without indentation.
    """
    blocks = re.split(r"\n\s*\n", text)
    prose = [block for block in blocks if not _FIELD.match(block.lstrip()) and block.strip() != "::"]
    fields = [block for block in blocks if _FIELD.match(block.lstrip())]
    return "\n\n".join(prose + fields)
