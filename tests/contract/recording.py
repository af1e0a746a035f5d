"""A recording of the live service read from its file: requests and answers in order; nothing is sent here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

_PREFIX_LENGTH = 8
_INDENTED_SINCE = 2022


class UnusableRecordingError(ValueError):
    """A file is no recording, or one of something else than a single factory."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request and its answer.

    :param number: its place in the file, from 0.
    :param tail: the segments of its path after the factory's own.
    :param is_told: whether the recording tells what was sent, be it nothing.
    :param text: the answer's body as it came, or None where the file keeps its JSON only.
    :param body: the answer's JSON, or None.
    :param at: the answer's Date.
    """

    number: int
    method: str
    prefix: tuple[str, ...]
    tail: tuple[str, ...]
    query: Mapping[str, str]
    sent: Any
    is_told: bool
    status: int
    headers: Mapping[str, str]
    text: str | None
    body: Any
    at: datetime | None

    @property
    def label(self) -> str:
        """What a report calls it."""
        return f"#{self.number} {self.method} {'/'.join(self.tail) or '(the factory)'}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The entries of an answer that is a list, else none."""
        value = self.body.get("value") if isinstance(self.body, dict) else None
        return value if isinstance(value, list) else []

    @property
    def action(self) -> str:
        """The last segment of its path in lower case."""
        return self.tail[-1].lower() if self.tail else ""

    def names(self, kind: str) -> str | None:
        """Return the name of the pipeline or trigger its path names, or None."""
        is_named = len(self.tail) > 1 and self.tail[0].lower() == kind
        return self.tail[1] if is_named else None


@dataclass(frozen=True, slots=True)
class Recording:
    """The interactions of one file, all with one factory."""

    name: str
    interactions: tuple[Interaction, ...]

    @property
    def begin(self) -> datetime:
        """When the first dated answer was given."""
        return next(each.at for each in self.interactions if each.at is not None)

    @property
    def generation(self) -> str:
        """The generation of the service: indented JSON, or a date since 2022, tells the later one."""
        indented = any(each.text is not None and "\n" in each.text for each in self.interactions)
        return "2022" if indented or self.begin.year >= _INDENTED_SINCE else "2021"

    @property
    def place(self) -> tuple[str, str, str]:
        """The subscription, the resource group and the factory."""
        prefix = self.interactions[0].prefix
        return prefix[1], prefix[3], prefix[7]

    def all_rows(self) -> Iterator[tuple[Interaction, dict[str, Any]]]:
        """Return every row of every answer, with the interaction that shows it."""
        return ((each, row) for each in self.interactions for row in each.rows)


def read_recording(path: Path) -> Recording:
    """Read a recording.

    :raises UnusableRecordingError: saying what is wrong with the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        interactions = tuple(_read(number, each) for number, each in enumerate(content["interactions"]))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UnusableRecordingError(f"{path} is no recording: {error!r}") from error
    if not any(each.at for each in interactions):
        raise UnusableRecordingError(f"{path}: no answer has a Date, so the clock cannot be set")
    if len({tuple(map(str.lower, each.prefix)) for each in interactions}) != 1:
        raise UnusableRecordingError(f"{path}: more than one factory is asked")
    return Recording(path.name, interactions)


def _read(number: int, entry: Mapping[str, Any]) -> Interaction:
    uri = urlsplit(entry["uri"])
    segments = tuple(unquote(segment) for segment in uri.path.split("/") if segment)
    text = entry.get("response_body_text")
    body = entry.get("response_body")
    if text is not None:
        body = json.loads(text) if text else None
    headers = {name.lower(): value for name, value in (entry.get("response_headers") or {}).items()}
    return Interaction(
        number=number,
        method=entry["method"],
        prefix=segments[:_PREFIX_LENGTH],
        tail=segments[_PREFIX_LENGTH:],
        query=dict(parse_qsl(uri.query)),
        sent=entry.get("request_body"),
        is_told="request_body" in entry,
        status=entry["status"],
        headers=headers,
        text=text,
        body=body,
        at=parsedate_to_datetime(headers["date"]) if "date" in headers else None,
    )
