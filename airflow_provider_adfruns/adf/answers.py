"""What comes back from the service: the ids an answer is known by, and its content read or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from airflow_provider_adfruns.adf.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.adf.identity import FactoryAddress


class _FromWire(Protocol):
    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self: ...


Parsed = TypeVar("Parsed", bound=_FromWire)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the service, less its content; Microsoft's support finds a request by these ids.

    :param action: what was asked, in words that name the run.
    :param date: the service's time, as its Date header says it.
    :param status: the HTTP status.
    :param request_id: ``x-ms-request-id``, None if there is none.
    :param correlation_request_id: ``x-ms-correlation-request-id``, likewise.
    """

    action: str
    date: str | None
    status: int
    request_id: str | None
    correlation_request_id: str | None

    @classmethod
    def of(cls, action: str, response: Any) -> Self:
        """Read an answer's headers. :param response: azure-core's."""
        headers = response.headers
        return cls(
            action,
            headers.get("Date"),
            response.status_code,
            headers.get("x-ms-request-id"),
            headers.get("x-ms-correlation-request-id"),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote."""
        return cls(
            data["action"],
            data["date"],
            data["status"],
            data["x-ms-request-id"],
            data["x-ms-correlation-request-id"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, the ids under the names of their headers."""
        return {
            "action": self.action,
            "date": self.date,
            "status": self.status,
            "x-ms-request-id": self.request_id,
            "x-ms-correlation-request-id": self.correlation_request_id,
        }


def members(address: FactoryAddress, page: Any) -> list[Any]:
    """Return the members of one page of a list or query. :raises UnexpectedAnswer: if it is no page."""
    if isinstance(page, dict) and isinstance(page.get("value"), list):
        return list(page["value"])
    raise unreadable(address, "a query with a page", page, "it has no list 'value'")


def parsed(address: FactoryAddress, kind: type[Parsed], wire: Any) -> Parsed:
    """Read what the service has answered. :raises UnexpectedAnswer: if it cannot be read."""
    try:
        return kind.from_wire(wire)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(address, f"with a {kind.__name__}", wire, error) from error


def unreadable(address: FactoryAddress, what: str, wire: Any, why: Exception | str) -> UnexpectedAnswer:
    """Return the error for an answer that cannot be read.

    :param what: what was asked, and what came.
    :param wire: the answer, of which the error quotes 500 characters.
    """
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return UnexpectedAnswer(
        f"{address} answered {what} that this package cannot read ({reason}): {str(wire)[:500]}"
    )
