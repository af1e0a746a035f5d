"""Faults: which calls they meet and what those are answered instead; sockets and limits are not here."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, fields
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow_provider_adfruns.emulator.refusals import Refusal
from airflow_provider_adfruns.emulator.routes import OPERATION_NAMES, RUN_QUERIES, TOKEN

if TYPE_CHECKING:
    from datetime import datetime

ANY = "*"
_LONGEST = 10**9
_MESSAGES: dict[int, tuple[str, str]] = {
    HTTPStatus.UNAUTHORIZED: ("ExpiredAuthenticationToken", "The access token expiry is in the past."),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "SubscriptionRequestsThrottled",
        "Number of requests for the subscription exceeded. Please try again after '{retry_after}' seconds.",
    ),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("InternalServerError", "Encountered internal server error."),
    HTTPStatus.BAD_GATEWAY: ("BadGateway", "The gateway received an invalid response."),
    HTTPStatus.SERVICE_UNAVAILABLE: ("ServiceUnavailable", "The service is temporarily unavailable."),
    HTTPStatus.GATEWAY_TIMEOUT: (
        "GatewayTimeout",
        (
            "The gateway did not receive a response from 'Microsoft.DataFactory' within the specified time"
            " period."
        ),
    ),
}


class FaultWords(TypedDict, total=False):
    """What a fault does, as `Fault` explains it, in the words of Python, JSON and scenarios alike."""

    status: int
    retry_after: float
    drop_connection: bool
    hang: bool
    truncate: bool
    refuse_token: bool
    stale_seconds: float
    lose: Literal["page", "rest"]
    processed: bool
    delay_seconds: float
    for_seconds: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong with some calls.

    Which calls it meets:

    :param operation: those of this operation, such as ``TriggerRuns_Rerun``; ``*`` is any.
    :param count: at most so many. Default 1; without limit where ``for_seconds`` or ``rate`` is given.
    :param for_seconds: those until so many seconds of the factory's clock have passed. Default: no such end.
    :param rate: each with this probability, from above 0 to 1, drawn from ``seed``. Default: each.
    :param seed: the same seed draws the same for the same calls. Default 0.

    What happens to them, which is one of these, or a delay alone; default status 503:

    :param status: this status is answered, in ARM's words where they are known.
    :param drop_connection: no answer: the connection is reset before the request is processed, or closed
        after it where ``processed``.
    :param hang: no answer, and the connection stays open until the calls are released or the client gives up.
    :param truncate: the answer breaks off in the middle of its body.
    :param refuse_token: 401 as for a token that was revoked, with a challenge that asks for a fresh one.
    :param stale_seconds: a query of runs answers as of so many seconds ago, beyond its usual lag.
    :param lose: of a query's answer that has a further page: ``page`` leaves this one out and gives the next,
        ``rest`` gives it without its continuation token. Calls without a further page are not met.

    And with them:

    :param processed: the call does its work before it fails; with ``status``, ``drop_connection``, ``hang``.
    :param retry_after: seconds for a Retry-After header; with ``status``. Default: no such header.
    :param delay_seconds: the answer, or its absence, comes so many seconds of the factory's clock later; on a
        manual clock once it was moved that far.
    :raises ValueError: these make no sense together; the message says what does.
    """

    operation: str
    count: int | None = None
    for_seconds: float | None = None
    rate: float | None = None
    seed: int = 0
    status: int | None = None
    drop_connection: bool = False
    hang: bool = False
    truncate: bool = False
    refuse_token: bool = False
    stale_seconds: float | None = None
    lose: Literal["page", "rest"] | None = None
    processed: bool = False
    retry_after: float | None = None
    delay_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.operation not in (*OPERATION_NAMES, ANY):
            known = ", ".join(OPERATION_NAMES)
            raise ValueError(f"unknown operation {self.operation!r}; known are {known}, {ANY}")
        for name, check, expected in _CHECKS:
            value = getattr(self, name)
            if value is not None and not check(value):
                raise ValueError(f"{name} must be {expected}, not {value!r}")
        if self.count is None and self.for_seconds is None and self.rate is None:
            object.__setattr__(self, "count", 1)
        if not self._endings() and self.delay_seconds is None:
            object.__setattr__(self, "status", int(HTTPStatus.SERVICE_UNAVAILABLE))
        self._check_company()

    def _check_company(self) -> None:
        """Refuse words that make no sense beside each other."""
        endings = self._endings()
        if len(endings) > 1:
            raise ValueError(f"a fault does one thing, not {' and '.join(endings)}")
        if self.processed and not (self.status or self.drop_connection or self.hang):
            raise ValueError("processed goes with status, drop_connection or hang")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after goes with status")
        if self.hang and self.delay_seconds is not None:
            raise ValueError("a call that hangs has no answer to delay; give hang or delay_seconds")
        if not any(map(self.meets, OPERATION_NAMES)):
            raise ValueError(f"{self.operation} is never met by {endings[0]}")

    def _endings(self) -> list[str]:
        names = ("status", "drop_connection", "hang", "truncate", "refuse_token", "stale_seconds", "lose")
        return [name for name in names if getattr(self, name)]

    def meets(self, operation: str) -> bool:
        """Say whether calls of an operation can be met."""
        if self.operation not in {operation, ANY}:
            return False
        if self.stale_seconds is not None or self.lose is not None:
            return operation in RUN_QUERIES
        return not (self.refuse_token and operation == TOKEN)

    @property
    def is_processed(self) -> bool:
        """Whether the calls it meets do their work."""
        return self.processed or not (self.status or self.drop_connection or self.hang or self.refuse_token)

    @property
    def name(self) -> str:
        """How the journal calls it."""
        words = []
        for ending in self._endings():
            value = getattr(self, ending)
            words.append(ending if value is True else f"{ending} {value}")
        if self.status or self.drop_connection or self.hang:
            words.append("processed" if self.processed else "not processed")
        if self.delay_seconds is not None:
            words.append(f"delay_seconds {self.delay_seconds:g}")
        return ", ".join(words)

    def refusal(self) -> Refusal:
        """Return the answer given instead, in ARM's words where they are known."""
        status = self.status or HTTPStatus.SERVICE_UNAVAILABLE
        code, message = _MESSAGES.get(
            status, (HTTPStatus(status).phrase.replace(" ", ""), "A scripted fault.")
        )
        seconds = f"{self.retry_after:g}" if self.retry_after is not None else "10"
        headers = {"Retry-After": seconds} if self.retry_after is not None else {}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = f'Bearer error="invalid_token", error_description="{message}"'
        return Refusal(status, code, message.format(retry_after=seconds), arm=True, headers=headers)

    def words(self) -> dict[str, Any]:
        """Return it in the words it can be read from."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.rate is None:
            del said["seed"]
        return {name: value for name, value in said.items() if value is not None and value is not False}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_status(value: object) -> bool:
    return _is_whole(value) and value in [int(each) for each in HTTPStatus if each >= HTTPStatus.OK]


_SECONDS = (
    lambda value: _is_number(value) and 0 < value <= _LONGEST,
    f"a number of seconds above 0, up to {_LONGEST}",
)
_FLAG = (lambda value: isinstance(value, bool), "true or false")
_CHECKS = (
    ("count", lambda value: _is_whole(value) and value >= 1, "1 or more"),
    ("for_seconds", *_SECONDS),
    ("rate", lambda value: _is_number(value) and 0 < value <= 1, "a probability above 0, up to 1"),
    ("seed", _is_whole, "a whole number"),
    ("status", _is_status, "an HTTP status from 200"),
    ("drop_connection", *_FLAG),
    ("hang", *_FLAG),
    ("truncate", *_FLAG),
    ("refuse_token", *_FLAG),
    ("stale_seconds", *_SECONDS),
    ("lose", lambda value: value in ("page", "rest"), "'page' or 'rest'"),
    ("processed", *_FLAG),
    ("retry_after", lambda value: _is_number(value) and 0 <= value <= _LONGEST, "0 or more seconds"),
    ("delay_seconds", *_SECONDS),
)


def read_fault(words: object) -> Fault:
    """Read a fault from a JSON object or a scenario's mapping.

    :param words: the parameters of `Fault`, of which ``operation`` is needed.
    :raises ValueError: a word is unknown, or they make no sense together.
    """
    known = [each.name for each in fields(Fault)]
    if not isinstance(words, dict) or "operation" not in words:
        raise ValueError("a fault is a mapping with 'operation'")
    for word in words:
        if word not in known:
            raise ValueError(f"a fault knows no {word!r}; known are {', '.join(known)}")
    return Fault(**words)


@dataclass(slots=True, eq=False)
class Pending:
    """A fault that may still meet calls.

    :param number: its number, from 1, by which it can be taken back.
    :param left: how many calls it still meets at most; None: no limit.
    :param until: when it ends by the factory's clock; None: no such end.
    """

    number: int
    fault: Fault
    left: int | None
    until: datetime | None
    draws: random.Random = field(repr=False)


class Faults:
    """The faults that are still to come, in the order in which they were added."""

    def __init__(self) -> None:
        self._pending: list[Pending] = []
        self._added = 0

    def add(self, fault: Fault, now: datetime) -> int:
        """Add a fault that holds from ``now`` on; return its number."""
        self._added += 1
        until = None if fault.for_seconds is None else now + timedelta(seconds=fault.for_seconds)
        # Each fault draws from a stream of its own, so that adding one changes nothing for the others.
        draws = random.Random(f"{fault.seed} {self._added}")  # noqa: S311 - reproducible, not secret
        self._pending.append(Pending(self._added, fault, fault.count, until, draws))
        return self._added

    def meet(self, operation: str, now: datetime) -> Pending | None:
        """Return the first fault that meets this call; `use` says when it did something."""
        for pending in self._current(now):
            if pending.fault.meets(operation):
                rate = pending.fault.rate
                if rate is None or pending.draws.random() < rate:
                    return pending
        return None

    def use(self, pending: Pending) -> None:
        """Use up one time of a fault."""
        if pending.left is not None:
            pending.left -= 1
            if not pending.left:
                self._pending.remove(pending)

    def remove(self, number: int) -> None:
        """Take back a fault; KeyError where there is none of this number."""
        found = next((each for each in self._pending if each.number == number), None)
        if found is None:
            raise KeyError(number)
        self._pending.remove(found)

    def clear(self) -> None:
        """Take back every fault."""
        self._pending.clear()

    def written(self, now: datetime) -> list[dict[str, Any]]:
        """Return what is still to come, as JSON."""
        return [
            {
                "number": each.number,
                **each.fault.words(),
                "left": each.left,
                "until": each.until.isoformat() if each.until else None,
            }
            for each in self._current(now)
        ]

    def _current(self, now: datetime) -> list[Pending]:
        self._pending = [each for each in self._pending if each.until is None or now < each.until]
        return self._pending
