"""Checks of names and ids before they become part of a URL; nothing here talks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_adfruns.adf.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

# Recorded ids are GUIDs or digits with "CU"; one recording shows the service accepting any word.
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_GUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")
_TRIGGER_RUN_ID = re.compile(r"[0-9]+[Cc][Uu][0-9]+")
# The published spec's patterns for factories, pipelines and triggers.
_FACTORY = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_NAME = re.compile(r"[A-Za-z0-9_][^<>*#.%&:\\+?/\r\n]{0,259}")
_RESOURCE_GROUP = re.compile(r"[\w().-]{0,89}[\w()-]")


def is_run_id(value: str) -> bool:
    """Say whether this may be the id of a run of Data Factory."""
    return _RUN_ID.fullmatch(value) is not None


def check_run_id(value: object, parameter: str = "run_id") -> str:
    """Return the id of a pipeline run or trigger run, in the case in which the service writes it.

    The API's paths do not mind the case, so two spellings would be the same run twice.

    :param value: the id as given.
    :param parameter: the parameter's name, for the message.
    :raises InvalidInput: for anything but letters, digits, ``-`` and ``_``: a slash or a dot would address
        something else.
    """
    if not isinstance(value, str) or not is_run_id(value):
        raise InvalidInput(
            f"{parameter}: {value!r} is not a run id. Expected letters, digits, '-' and '_' only, such as "
            "'2f7fdb90-5df1-4b8e-ac2f-064cfa58202b' (pipeline run) or '08584840394298588566218403359CU37' "
            "(trigger run). Copy the id alone, not the run's URL."
        )
    if _GUID.fullmatch(value):
        return value.lower()
    return value.upper() if _TRIGGER_RUN_ID.fullmatch(value) else value


def check_run_ids(values: Iterable[object], parameter: str = "run_ids") -> tuple[str, ...]:
    """Return the ids, each once, in the order given.

    :raises InvalidInput: for an empty list or an id that is none; names each one.
    """
    given = tuple(values)
    if not given:
        raise InvalidInput(
            f"{parameter}: the list is empty. Expected at least one run id. If an empty list is normal here, "
            "put a ShortCircuitOperator in front of this task."
        )
    run_ids, bad = [], []
    for value in given:
        try:
            run_ids.append(check_run_id(value, parameter))
        except InvalidInput as error:
            bad.append(str(error))
    if bad:
        raise InvalidInput("\n".join(bad))
    return tuple(dict.fromkeys(run_ids))


def _check(pattern: re.Pattern[str], value: object, parameter: str, expected: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidInput(f"{parameter}: {value!r} is not valid. Expected {expected}.")
    return value


def check_trigger_name(value: object) -> str:
    """Return the trigger's name. :raises InvalidInput: if it cannot be one."""
    return _check(
        _NAME,
        value,
        "trigger_name",
        "the trigger's name as ADF Studio shows it (1-260 characters, no slashes or dots)",
    )


def check_pipeline_name(value: object) -> str:
    """Return the pipeline's name. :raises InvalidInput: if it cannot be one."""
    return _check(
        _NAME,
        value,
        "pipeline_name",
        "the pipeline's name as ADF Studio shows it (1-260 characters, no slashes or dots)",
    )


def check_factory_name(value: object) -> str:
    """Return the factory's name. :raises InvalidInput: if it cannot be one."""
    name = _check(_FACTORY, value, "factory_name", "3-63 letters, digits and single dashes")
    if not 3 <= len(name) <= 63:  # noqa: PLR2004 - the spec's limits, said in the message
        raise InvalidInput(
            f"factory_name: {name!r} is not valid. Expected 3-63 letters, digits and single dashes."
        )
    return name


def check_resource_group_name(value: object) -> str:
    """Return the resource group's name. :raises InvalidInput: if it cannot be one."""
    return _check(
        _RESOURCE_GROUP,
        value,
        "resource_group_name",
        "1-90 letters, digits, '_', '-', '.', '(' and ')', no dot at the end",
    )


def check_subscription_id(value: object) -> str:
    """Return the subscription's id. :raises InvalidInput: if it is no GUID."""
    return _check(_GUID, value, "subscriptionId", "the subscription's GUID")
