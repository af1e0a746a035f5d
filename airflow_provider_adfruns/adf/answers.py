"""What the SDK hands back -> typed values; an answer that cannot be read is quoted in the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from airflow_provider_adfruns.adf.errors import UnexpectedAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.adf.identity import FactoryAddress


class _FromWire(Protocol):
    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self: ...


Parsed = TypeVar("Parsed", bound=_FromWire)


def body_of(response: Any, _: object, __: object) -> Any:
    """Return an answer's JSON as it was on the wire; None for the empty bodies of the older generation."""
    answer = response.http_response
    return answer.json() if answer.text() else None


def members(page: Any, address: FactoryAddress) -> list[Any]:
    """Return the members of one page of a list or query. :raises UnexpectedAnswer: if it is none."""
    if isinstance(page, dict) and isinstance(page.get("value"), list):
        return list(page["value"])
    raise unreadable("a query with a page", page, "it has no list 'value'", address)


def parsed(kind: type[Parsed], wire: Any, address: FactoryAddress) -> Parsed:
    """Return the value that an answer's JSON stands for. :raises UnexpectedAnswer: if it cannot be read."""
    try:
        return kind.from_wire(wire)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(f"with a {kind.__name__}", wire, error, address) from error


def unreadable(what: str, wire: Any, why: Exception | str, address: FactoryAddress) -> UnexpectedAnswer:
    """Return the error for an answer that makes no sense.

    :param what: what was answered, to follow "answered".
    :param wire: the answer, which is quoted.
    :param why: what is wrong with it.
    """
    reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
    return UnexpectedAnswer(
        f"{address} answered {what} that this package cannot read ({reason}): {str(wire)[:500]}"
    )
