"""What was asked of the emulator and what it did: one entry a call, in order; nothing is decided by it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One call.

    :param sequence: its number, from 0.
    :param at: the factory's time.
    :param operation: the operation's name, such as ``TriggerRuns_Rerun``; empty where the route is unknown.
    :param body: the JSON sent, or None.
    :param status: the status answered; None where the connection was dropped.
    :param content: the bytes of the body the call was answered with; see `answer`.
    :param fault: the scripted fault that met it, or None.
    :param principal: the client id of who called; ``anonymous`` where nobody said.
    :param subject: the run, trigger or pipeline acted on, or None.
    :param effect: what the call changed, or None where it changed nothing.
    """

    sequence: int
    at: datetime
    operation: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    content: bytes
    fault: str | None
    principal: str
    subject: str | None
    effect: Mapping[str, Any] | None

    @property
    def answer(self) -> Any:
        """The JSON answered, or None."""
        return json.loads(self.content) if self.content else None
