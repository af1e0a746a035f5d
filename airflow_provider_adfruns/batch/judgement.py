"""When what became of a batch fails its task; pure."""

from __future__ import annotations

import logging
from enum import StrEnum

from airflow_provider_adfruns.adf.errors import InvalidInput, RunsNotAsWanted

log = logging.getLogger(__name__)


class FailIf(StrEnum):
    """How many of a batch have to be not as wanted for the task to fail."""

    ANY = "any"
    ALL = "all"
    NEVER = "never"


def check_fail_if(value: object) -> FailIf:
    """Return the choice. :raises InvalidInput: for another word."""
    for choice in FailIf:
        if value == choice:
            return choice
    raise InvalidInput(f"fail_if: {value!r} is not known. Expected one of {', '.join(FailIf)}.")


def judge(message: str, *, problems: int, good: int, fail_if: FailIf) -> None:
    """Fail, or warn where the task is not to fail; say nothing where all is as wanted.

    :param message: names what is not as wanted.
    :param problems: how many are not as wanted; what was left alone is none of them.
    :param good: how many are as wanted, or may still become so.
    :raises RunsNotAsWanted: with the message.
    """
    if not problems:
        return
    if fail_if is FailIf.ANY or (fail_if is FailIf.ALL and not good):
        raise RunsNotAsWanted(message)
    log.warning("%s (fail_if=%r)", message, fail_if.value)
