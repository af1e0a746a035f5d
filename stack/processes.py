"""Processes that end with whoever started them: each leads a session, and the whole session ends."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_LOOK_AGAIN_SECONDS = 0.2
_TAIL_LINES = 30
_PORTS = range(10_000, 32_768)  # Linux gives outgoing connections the ports above
_PORTS_TRIED = 100

_Found = TypeVar("_Found")


class StackError(RuntimeError):
    """Something of the stack did not start, ended too early, or did not come to be in time."""


class Service:
    """A command that runs until it is ended, with everything that it starts.

    :param name: what to call it; its log is ``<name>.log`` in ``logs``.
    :param command: the program and its arguments.
    :param environment: its environment variables, all of them.
    :param logs: the folder for its log; a second start writes on.
    :param user: run it as this user and in this group, instead of one's own.
    :param ends_by: the signal that asks it to end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        logs: Path,
        user: tuple[int, int] | None = None,
        ends_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._command = command
        self._environment = environment
        self._user = user
        self._ends_by = ends_by
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that leads the session.

        :raises StackError: unless it was started.
        """
        if self._process is None:
            raise StackError(f"{self.name} has not been started")
        return self._process.pid

    def start(self) -> None:
        """Start it, also once more."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **run_as(self._user),
            )

    def check(self) -> None:
        """See that it runs.

        :raises StackError: it does not; shows the end of its log.
        """
        status = "that it was never started with" if self._process is None else self._process.poll()
        if status is not None:
            raise StackError(f"{self.name} has ended by itself, with status {status}:\n{self.tail()}")

    def ask_to_end(self) -> None:
        """Send the signal that asks it to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self._ends_by)

    def end(self, patience_seconds: float) -> None:
        """Let it end, and kill what is left.

        :param patience_seconds: how long it may take to end by itself.
        """
        if self._process is None:
            return
        members = self.members()
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_seconds)
        _kill(members)
        self.kill()

    def kill(self) -> None:
        """Kill everything of it at once, as a machine that fails would."""
        while self._process is not None and (members := self.members()):
            _kill(members)
            self._process.poll()

    def members(self) -> list[psutil.Process]:
        """Return its processes that live: those of its session, and children with sessions of their own."""
        found = {}
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
                    found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def tail(self, lines: int = _TAIL_LINES, *, words: Sequence[str] = ()) -> str:
        """Return the end of its log.

        :param words: only of the lines with one of these words; default of all.
        """
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        found = [
            line for line in text.splitlines() if not words or any(word in line.lower() for word in words)
        ]
        return "\n".join(found[-lines:])


class RunAs(TypedDict):
    """The keyword arguments of `subprocess` that say whose a process is."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


def run_as(user: tuple[int, int] | None) -> RunAs:
    """Return what lets a process be of a user and his group; None leaves it one's own."""
    if user is None:
        return {"user": None, "group": None, "extra_groups": None}
    return {"user": user[0], "group": user[1], "extra_groups": []}


def _kill(processes: Iterable[psutil.Process]) -> None:
    killed = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed.append(process)
    psutil.wait_procs(killed, timeout=5)


def until(
    what: str, look: Callable[[], _Found], *, seconds: float, services: Iterable[Service] = ()
) -> _Found:
    """Wait for something to come to be: the one place where anything waits.

    :param what: says in the error what did not come to be.
    :param look: returns something true once it is there.
    :param seconds: how long it may take.
    :param services: what must go on running meanwhile.
    :return: what ``look`` returned.
    :raises StackError: it took too long, or a service ended.
    """
    watched = list(services)
    begun = time.monotonic()
    while True:
        found = look()
        if found:
            return found
        for service in watched:
            service.check()
        if time.monotonic() - begun > seconds:
            raise StackError(f"in {seconds:g} s it did not come to be that {what}")
        time.sleep(_LOOK_AGAIN_SECONDS)


def free_ports(count: int) -> list[int]:
    """Return ports on 127.0.0.1 that nobody listens on.

    They are none of those that the kernel gives to outgoing connections: who is to listen may come, and come
    again, much later.
    """
    found = [port for port in random.sample(_PORTS, _PORTS_TRIED) if is_free(port)][:count]
    if len(found) < count:
        raise StackError(
            f"of {_PORTS_TRIED} ports on 127.0.0.1 only {len(found)} are free; {count} are needed"
        )
    return found


def is_free(port: int) -> bool:
    """Say whether nobody listens on a port of 127.0.0.1, neither for connections nor for packets."""
    with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as taker:
        try:
            taker.bind(("127.0.0.1", port))
        except OSError:
            return False
        return probe.connect_ex(("127.0.0.1", port)) != 0
