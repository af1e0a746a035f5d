"""A rerun that is stopped by sign-in or permission goes on where it stood, once that is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from airflow_provider_adfruns.adf.errors import AuthenticationFailed
from airflow_provider_adfruns.operators.rerun import AdfRerunTumblingWindowRunsOperator
from tests.conftest import calls
from tests.provider.scenarios import NIGHT, NIGHT_RANGE
from tests.provider.tasks import TaskInstance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_adfruns.emulator import AdfEmulator


class Store(dict[str, Any]):
    """Stands for Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def test_a_refused_sign_in_leaves_the_batch_for_the_next_try_to_finish(
    factory: Callable[..., AdfEmulator],
) -> None:
    emulator = factory(NIGHT)
    emulator.fail_next("TriggerRuns_Rerun", count=20, refuse_token=True)
    context = cast("Context", {"ti": TaskInstance(), "task_state_store": Store()})
    task = AdfRerunTumblingWindowRunsOperator(task_id="task", trigger_name="hourly", **NIGHT_RANGE)
    task.deferrable = False
    with pytest.raises(AuthenticationFailed):
        task.execute(context)
    emulator.clear_faults()
    report = task.execute(context)
    assert report["counts"] == {"Succeeded": 9}
    assert len([entry for entry in calls(emulator, "TriggerRuns_Rerun") if entry.effect]) == 9
