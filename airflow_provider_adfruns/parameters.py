"""Checks of what a DAG's author passes, as far as they are the same for operators and sensor; pure."""

from __future__ import annotations

from airflow_provider_adfruns.adf.errors import InvalidInput


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


def as_bool(value: object, parameter: str) -> bool:
    """Return a switch that a template may have rendered to text.

    :raises InvalidInput: for anything but true and false.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    raise InvalidInput(f"{parameter}: {value!r} is neither true nor false. Expected one of the two.")
