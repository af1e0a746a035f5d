"""A request as it comes in and the answer as it goes out, before and behind HTTP; both only hold values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in, header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes


class Delivery(Enum):
    """How an answer reaches the client, or does not."""

    WHOLE = "whole"
    RESET = "the connection is reset"
    CLOSED = "the connection is closed"
    TRUNCATED = "the connection is closed after half of the body"
    HELD = "nothing happens until somebody releases the call; then it is WHOLE, or CLOSED without a status"


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back.

    :param status: 0 where there is no answer.
    :param not_before: the factory's time before which nothing goes back; None: at once.
    """

    status: int
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = Delivery.WHOLE
    not_before: datetime | None = None
