"""How one request travels: which failure may be repeated, for how long, and what a lost answer means.

This takes the place of azure-core's retry policy, which repeats POSTs on 500, 503 and 504, and so can rerun a
window twice. It imports azure; the modules that Airflow parses reach it only when they talk.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    IncompleteReadError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.policies import AsyncHTTPPolicy, SansIOHTTPPolicy

from airflow_provider_adfruns.adf.errors import UnexpectedAnswer
from airflow_provider_adfruns.adf.pause import elapsed, pause
from airflow_provider_adfruns.adf.tally import Tally

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest, PipelineResponse

    from airflow_provider_adfruns.adf.gate import WriteGate
    from airflow_provider_adfruns.adf.pacing import Cap, Pacer

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 20.0

_SENT = "adf_sent"
_CALLER = "adf_caller"

_PORTS = {"https": 443, "http": 80}
_UNAUTHORIZED = 401
_TOO_MANY_REQUESTS = 429
_THROTTLED_BUDGET_SECONDS = 900.0
_REMAINING = {
    False: "x-ms-ratelimit-remaining-subscription-reads",
    True: "x-ms-ratelimit-remaining-subscription-writes",
}
_QUERIES = re.compile(
    r"/(querypipelineruns|querytriggerruns|queryactivityruns|querytriggers)/?$", re.IGNORECASE
)


class Verdict(Enum):
    """What a failed attempt means for the request."""

    NEVER_SENT = "no connection was made, so nothing arrived"
    NOT_PROCESSED = "the service refused it before doing anything"
    AMBIGUOUS = "it may have been carried out"
    FINAL = "the answer is clear, and another attempt would get the same"


def is_write(method: str, url: str) -> bool:
    """Say whether a request may change the factory; whatever is not known to be a read may.

    :param method: the HTTP method.
    :param url: the address, with or without a query string.
    """
    return not (method == "GET" or (method == "POST" and _QUERIES.search(url.partition("?")[0]) is not None))


def judge_answer(status: int) -> Verdict:
    """Judge an answer by its HTTP status.

    429 is refused by ARM or ADF before anything is done; a 5xx may mean "done" (recorded: a trigger start
    answered 504 after it had started), and so may a 408.
    """
    if status == _TOO_MANY_REQUESTS:
        return Verdict.NOT_PROCESSED
    if status == 408 or status >= 500:  # noqa: PLR2004
        return Verdict.AMBIGUOUS
    return Verdict.FINAL


def judge_error(error: AzureError) -> Verdict:
    """Judge a failure without a readable answer.

    azure-core's aiohttp transport raises ServiceRequestError both for a connection that was never made and
    for one that broke after the request was sent, so its cause decides (tried with azure-core 1.41: a dropped
    connection arrives as ServiceRequestError from aiohttp's ServerDisconnectedError).
    """
    cause = error.__cause__ or error.inner_exception
    if isinstance(cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return Verdict.NEVER_SENT
    if isinstance(error, (ServiceRequestError, ServiceResponseError, DecodeError, IncompleteReadError)):
        return Verdict.AMBIGUOUS
    return Verdict.FINAL


def may_repeat(verdict: Verdict, *, write: bool) -> bool:
    """Decide whether the request may be sent again after this verdict."""
    if verdict in (Verdict.NEVER_SENT, Verdict.NOT_PROCESSED):
        return True
    return verdict is Verdict.AMBIGUOUS and not write


def retry_after_seconds(header: str | None) -> float | None:
    """Parse a Retry-After header; ARM sends seconds. None for anything else."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


@dataclass(slots=True)
class ServiceTime:
    """The service's own clock, as its latest answer said; the worker's clock is never compared with it."""

    latest: datetime | None = None

    def observe(self, date_header: str | None) -> None:
        """Take over the Date header of an answer."""
        if not date_header:
            return
        try:
            said = parsedate_to_datetime(date_header).astimezone(UTC)
        except ValueError:
            return
        # answers overtake each other; the service's clock does not go back
        self.latest = said if self.latest is None else max(self.latest, said)


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf requests travel: FactoryClients that sign in alike share everything but this.

    Goes with each call of the SDK as the option ``caller``.

    :param pacer: says when a request may leave.
    :param cap: has a say in it, too.
    :param budget_seconds: how much time one request may spend on failed attempts and the waits between;
        waiting for throttling to end has a budget of its own.
    :param gate: asked as the last thing before a write leaves, at each attempt.
    :param tally: counts what becomes of the requests.
    :param clock: the service's time, as this caller's own latest answer said.
    """

    pacer: Pacer
    cap: Cap | None
    budget_seconds: float
    gate: WriteGate | None
    tally: Tally = field(default_factory=Tally)
    clock: ServiceTime = field(default_factory=ServiceTime)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How one attempt ended: with an answer or with an error."""

    verdict: Verdict
    response: PipelineResponse[Any, Any] | None = None
    error: AzureError | None = None

    @property
    def status(self) -> int | None:
        return self.response.http_response.status_code if self.response is not None else None

    def header(self, name: str) -> str | None:
        """Return an answer's header, None if there is none."""
        if self.response is None:
            return None
        value: str | None = self.response.http_response.headers.get(name)
        return value

    def result(self) -> PipelineResponse[Any, Any]:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.response is not None  # noqa: S101 - one of the two is there
        return self.response


class RepeatPolicy(AsyncHTTPPolicy[Any, Any]):
    """Let requests leave at the service's pace; repeat reads through trouble, writes only if surely not done.

    How long, and at whose pace, says the request's ``Caller``.
    """

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send the request, perhaps more than once; the last answer or error stands."""
        caller: Caller = request.context.options.pop("caller")
        request.context[_CALLER] = caller
        write = is_write(request.http_request.method, request.http_request.url)
        wait = _FIRST_WAIT_SECONDS
        trouble = throttled = 0.0
        has_new_token = False
        while True:
            asked_at = elapsed()
            throttled += await caller.pacer.admit(write=write, cap=caller.cap)
            began = elapsed()
            caller.tally.paused_seconds += began - asked_at
            attempt = await self._attempt(request, caller, write=write)
            if attempt.status == _UNAUTHORIZED and not has_new_token:
                has_new_token = True  # the authentication policy has dropped the token that was refused
                continue
            if attempt.status == _TOO_MANY_REQUESTS:
                caller.tally.throttled += 1
                if throttled > _THROTTLED_BUDGET_SECONDS:
                    return attempt.result()
                continue  # the pacer's gate is closed until the service's Retry-After is over
            asked_wait = retry_after_seconds(attempt.header("Retry-After"))
            next_wait = wait if asked_wait is None else asked_wait
            trouble += elapsed() - began + next_wait
            if not may_repeat(attempt.verdict, write=write) or trouble > caller.budget_seconds:
                return attempt.result()
            await pause(next_wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _attempt(self, request: PipelineRequest[Any], caller: Caller, *, write: bool) -> _Attempt:
        """Send the request once, and tell the pacer what the service says of its limits."""
        request.context[_SENT] = False
        try:
            response = await self.next.send(request)
        except AzureError as error:
            # a token request in trouble says nothing about the request, which has not left yet
            trouble_before = isinstance(error, (ServiceRequestError, ServiceResponseError))
            unsent = trouble_before and not request.context[_SENT]
            return _Attempt(Verdict.NEVER_SENT if unsent else judge_error(error), error=error)
        finally:
            caller.pacer.answered(write=write)
        attempt = _Attempt(judge_answer(response.http_response.status_code), response=response)
        if attempt.status == _TOO_MANY_REQUESTS:
            asked = retry_after_seconds(attempt.header("Retry-After"))
            caller.pacer.refused(_FIRST_WAIT_SECONDS if asked is None else asked, write=write)
        elif remaining := attempt.header(_REMAINING[write]):
            with contextlib.suppress(ValueError):
                caller.pacer.told(float(remaining), write=write)
        return attempt


class WirePolicy(SansIOHTTPPolicy[Any, Any]):
    """Stand behind authentication, next to the wire: see that a write may leave, and note that it does.

    It also reads the service's time.
    """

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Ask the caller's gate, and note that from here on the request may have been sent."""
        gate, http = request.context[_CALLER].gate, request.http_request
        if gate is not None and is_write(http.method, http.url):
            gate.check(f"{http.method} {http.url}")
        request.context[_SENT] = True

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Read the Date header."""
        request.context[_CALLER].clock.observe(response.http_response.headers.get("Date"))


class EndpointPolicy(SansIOHTTPPolicy[Any, Any]):
    """Stand before authentication: a request that goes anywhere but to the ARM endpoint gets no token.

    The SDK follows the ``nextLink`` of a list's page wherever it points.

    :param endpoint: the connection's ARM endpoint.
    :param conn_id: the connection's id, for the message.
    """

    def __init__(self, endpoint: str, conn_id: str) -> None:
        super().__init__()
        self._endpoint, self._conn_id = endpoint, conn_id

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """See where the request goes.

        :raises UnexpectedAnswer: if that is another scheme, host or port; nothing of it is sent.
        """
        url = request.http_request.url
        if is_at(self._endpoint, url):
            return
        scheme, authority = _origin(url)
        place = f"{scheme}://{authority.rpartition('@')[2]}"  # what stands before may be a password
        raise UnexpectedAnswer(
            f"an answer of {self._endpoint} names {place!r} as the place to go on reading. Requests, and with"
            " them tokens, go to the connection's endpoint alone: nothing was sent there, and nothing was"
            " changed. Look for a proxy that changes answers; check arm_endpoint of connection"
            f" {self._conn_id!r}."
        )


def is_at(endpoint: str, url: str) -> bool:
    """Say whether an address has the scheme, host and port of an endpoint.

    The texts are compared, so that it does not matter how whoever connects takes a strange one apart: the
    host's case may differ, the scheme's own port may be left out, and there is neither name nor password.

    :param endpoint: scheme and host, perhaps a port.
    :param url: the address.
    """
    return _with_port(*_origin(endpoint)) == _with_port(*_origin(url))


def _origin(url: str) -> tuple[str, str]:
    """Return an address' scheme, and all that stands before its path."""
    scheme, _, rest = url.partition("://")
    return scheme.lower(), re.split("[/?#]", rest, maxsplit=1)[0].lower()


def _with_port(scheme: str, authority: str) -> tuple[str, str]:
    has_port = re.search(r":\d+$", authority) is not None
    return scheme, authority if has_port else f"{authority}:{_PORTS.get(scheme, '')}"


class LoopbackPrincipalPolicy(SansIOHTTPPolicy[Any, Any]):
    """Name the principal to a local factory without TLS; no token or secret ever travels over http.

    :param client_id: the connection's client id.
    """

    def __init__(self, client_id: str | None) -> None:
        super().__init__()
        self._principal = client_id or "anonymous"

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Add the header in which the local factory looks for a name."""
        request.http_request.headers["Authorization"] = f"Bearer loopback:{self._principal}"
