"""What the Airflow at hand can do and another supported one cannot: here alone the version is asked."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("apache-airflow")
_IS_3_3 = tuple(map(int, VERSION.split(".")[:2])) >= (3, 3)

KEEPS_STATE = _IS_3_3
"""It has a task state store: a next try takes up the batch. Else it plans anew, and leaves what runs."""

TELLS_TRIGGERS_OF_KILLS = _IS_3_3
"""A trigger learns of a mark, and cancels. Else the runs of the task go on, and a clean-up cancels them."""

WAITS_FOR_A_PERSON = "awaiting_input" if _IS_3_3 else "deferred"
"""The state of a task that waits for a person."""
