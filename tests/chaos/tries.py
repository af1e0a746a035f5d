"""One try of a task after another, each watched from outside while time passes and others act."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.attempt import ERROR, begin, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.factory import Control, Served

_LOOK_SECONDS = 0.005
_STILL_LOOKS = 5
_HANGING_LOOKS = 20
_LONGEST_TRY_SECONDS = 600.0
HUNG, KILLED = "hung", "killed"


@dataclass(slots=True)
class Tries:
    """The tries of one task in one night.

    :param home: a directory of its own.
    :param attempt: starts the work of a try, by its number, in the process that is to be killed.
    """

    served: Served
    home: Path
    attempt: Callable[[int], Callable[[], None]]
    tries: list[int] = field(default_factory=list)
    kills: int = 0

    def meanwhile(self, control: Control, calls: int) -> None:
        """Do what others do while a try is under way.

        :param calls: how many calls the factory has had.
        """

    def after_kill(self) -> str:
        """Return how a try that was killed counts."""
        return KILLED

    def go(self, control: Control, kill_after: int | None = None) -> str:
        """Go through one try. :return: how it ended.

        :param kill_after: after how many of its calls it is killed.
        """
        self.tries.append(control.calls_so_far())
        process = begin(self.home, self.served, self.attempt(len(self.tries)))
        try:
            return self._watch(control, process, kill_after)
        finally:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)

    def _watch(self, control: Control, process: int, kill_after: int | None) -> str:
        ended = os.pidfd_open(process)
        try:
            return self._watch_until(ended, control, process, kill_after)
        finally:
            os.close(ended)

    def _watch_until(self, ended: int, control: Control, process: int, kill_after: int | None) -> str:
        until = time.monotonic() + _LONGEST_TRY_SECONDS
        began, before, still = self.tries[-1], -1, 0
        while time.monotonic() < until:
            waited, status = os.waitpid(process, os.WNOHANG)
            if waited and os.WIFSIGNALED(status):
                self.kills += 1
                return self.after_kill()
            if waited:
                return str((read(self.home / "outcome.json") or {"end": ERROR})["end"])
            calls = control.calls_so_far()
            if kill_after is not None and calls - began >= kill_after:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                self.kills += 1
                return self.after_kill()
            self.meanwhile(control, calls)
            still = still + 1 if calls == before else 0
            before = calls
            if still and still % _STILL_LOOKS == 0:  # an answer is delayed: time passes for who waits for it
                control.advance(2)
            if still >= _HANGING_LOOKS:  # it hangs: the connection breaks in the end
                control.call("POST", "/release")
                still = 0
            select.select([ended], [], [], _LOOK_SECONDS)  # returns at once when the process ends
        return HUNG
