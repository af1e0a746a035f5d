"""Scripted faults: what a coming call is answered instead of its own; chance and throttling are not here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from airflow_provider_adfruns.emulator.refusals import Refusal

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


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the next calls of an operation.

    :param operation: the operation's name; ``*`` is any.
    :param status: what is answered; None with ``drop_connection``.
    :param count: how many calls it still meets.
    :param retry_after: seconds for a Retry-After header; None: no such header.
    :param processed: whether the call does its work before it fails.
    :param drop_connection: no answer at all.
    """

    operation: str
    status: int | None
    count: int = 1
    retry_after: float | None = None
    processed: bool = False
    drop_connection: bool = False

    @property
    def name(self) -> str:
        """How the journal calls it."""
        what = "drop_connection" if self.drop_connection else f"status {self.status}"
        return f"{what}, {'processed' if self.processed else 'not processed'}"

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


class FaultScript:
    """The faults that are still to come, in the order in which they were scripted."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Script a fault."""
        self._faults.append(fault)

    def next_for(self, operation: str) -> Fault | None:
        """Take the first fault that meets a call of this operation, using up one of its times."""
        for place, fault in enumerate(self._faults):
            if fault.operation in {operation, "*"}:
                if fault.count > 1:
                    self._faults[place] = replace(fault, count=fault.count - 1)
                else:
                    del self._faults[place]
                return fault
        return None

    def pending(self) -> list[dict[str, Any]]:
        """Return what is still to come, for people to look at."""
        return [
            {"operation": fault.operation, "fault": fault.name, "count": fault.count}
            for fault in self._faults
        ]
