"""Checks of what a DAG's author passes, as far as they are the same for operators and sensor; pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_adfruns.adf.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

_Choice = TypeVar("_Choice", bound=StrEnum)


def positive(value: object, parameter: str) -> float:
    """Return a number of seconds. :raises InvalidInput: unless it is above zero."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise InvalidInput(
            f"{parameter}: {value!r} is not possible. Expected a number of seconds above zero."
        )
    return float(value)


def count(value: object, parameter: str) -> int:
    """Return a whole number. :raises InvalidInput: unless it is above zero."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(f"{parameter}: {value!r} is not possible. Expected a whole number above zero.")
    return value


def is_templated(*values: object) -> bool:
    """Say whether a value is known only when the task runs: a Jinja template, or another task's output.

    The latter, Airflow's XComArg and its kin, are known by their ``iter_references``.
    """
    for value in values:
        if isinstance(value, str):
            if "{{" in value or "{%" in value:
                return True
        elif callable(getattr(value, "iter_references", None)) or (
            isinstance(value, list | tuple | set | frozenset) and is_templated(*value)
        ):
            return True
    return False


def given(task: object, *names: str) -> frozenset[str]:
    """Return which of a task's parameters its author has given, for ``check_given`` when it runs."""
    return frozenset(name for name in names if getattr(task, name) is not None)


def check_given(task: object, names: Iterable[str]) -> None:
    """See that what a DAG's author has given is there still, now that templates are rendered.

    A condition that falls away would make the task act on more than was meant, or on another factory.

    :param names: parameters that had a value when the DAG was parsed.
    :raises InvalidInput: names the parameter that has come to nothing.
    """
    for name in sorted(names):
        value = getattr(task, name)
        if value is None or value == "None":
            raise InvalidInput(
                f"{name}: the template or XCom that it is taken from has come to {value!r}, which would mean"
                " that it is not given. Expected a value; check the task or variable that it is taken from,"
                " or leave the parameter out."
            )


def as_bool(value: object, parameter: str) -> bool:
    """Return a switch that a template may have rendered to text.

    :raises InvalidInput: for anything but true and false.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise InvalidInput(f"{parameter}: {value!r} is neither true nor false. Expected one of the two.")


def one_of(kind: type[_Choice], value: str, parameter: str) -> _Choice:
    """Return a parameter's choice. :raises InvalidInput: names the words expected."""
    try:
        return kind(value)
    except ValueError:
        raise InvalidInput(
            f"{parameter}: {value!r} is not known. Expected one of {', '.join(kind)}."
        ) from None
