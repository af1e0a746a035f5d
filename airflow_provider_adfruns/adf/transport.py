"""How one request travels: which failure may be repeated, for how long, and what a lost answer means.

This takes the place of azure-core's retry policy, which repeats POSTs on 500, 503 and 504, and so can rerun a
window twice. It imports azure; the modules that Airflow parses reach it only when they talk.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
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

from airflow_provider_adfruns.adf.pause import pause

if TYPE_CHECKING:
    from azure.core.pipeline import PipelineRequest, PipelineResponse

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 60
TROUBLE_BUDGET_SECONDS = 120.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 20.0

_SENT = "adf_sent"

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
    if status == 429:  # noqa: PLR2004
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


class RepeatPolicy(AsyncHTTPPolicy[Any, Any]):
    """Repeat reads through trouble, writes only when they were surely not carried out.

    :param budget_seconds: how much time one request may spend on failed attempts and the waits between.
    """

    def __init__(self, budget_seconds: float = TROUBLE_BUDGET_SECONDS) -> None:
        super().__init__()
        self._budget_seconds = budget_seconds

    async def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send the request, perhaps more than once; the last answer or error stands."""
        write = is_write(request.http_request.method, request.http_request.url)
        spent = 0.0
        wait = _FIRST_WAIT_SECONDS
        while True:
            began = time.monotonic()
            response: PipelineResponse[Any, Any] | None = None
            failure: AzureError | None = None
            asked_wait = None
            request.context[_SENT] = False
            try:
                response = await self.next.send(request)
            except AzureError as error:
                failure = error
                # a token request in trouble says nothing about the request, which has not left yet
                trouble_before = isinstance(error, (ServiceRequestError, ServiceResponseError))
                unsent = trouble_before and not request.context[_SENT]
                verdict = Verdict.NEVER_SENT if unsent else judge_error(error)
            else:
                verdict = judge_answer(response.http_response.status_code)
                asked_wait = retry_after_seconds(response.http_response.headers.get("Retry-After"))
            next_wait = wait if asked_wait is None else asked_wait
            spent += time.monotonic() - began + next_wait
            if not may_repeat(verdict, write=write) or spent > self._budget_seconds:
                if failure is not None:
                    raise failure
                assert response is not None  # noqa: S101 - one of the two is there
                return response
            await pause(next_wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


class WirePolicy(SansIOHTTPPolicy[Any, Any]):
    """Stand behind authentication, next to the wire: note that the request leaves, and the service's time."""

    def __init__(self, clock: ServiceTime) -> None:
        super().__init__()
        self._clock = clock

    def on_request(self, request: PipelineRequest[Any]) -> None:
        """Note that from here on the request may have been sent."""
        request.context[_SENT] = True

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        """Read the Date header."""
        del request
        self._clock.observe(response.http_response.headers.get("Date"))


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
