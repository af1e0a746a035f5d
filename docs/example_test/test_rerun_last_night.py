"""A test of one's own DAG, ``example_dags/rerun_last_night.py``, against a local Data Factory."""

from rerun_last_night import rerun_last_night


def latest_statuses(runs):
    """Return the status of each window's latest run."""
    ordered = sorted(runs, key=lambda run: run["triggerRunTimestamp"])
    return {run["properties"]["windowStartTime"]: run["status"] for run in ordered}


def test_windows_that_failed_succeed_when_they_are_rerun(adf_emulator):
    factory = adf_emulator("orders.yaml")
    assert list(latest_statuses(factory.trigger_runs()).values()).count("Failed") == 4

    dag_run = rerun_last_night().test(logical_date=factory.now, run_after=factory.now)

    assert dag_run.state == "success"
    assert set(latest_statuses(factory.trigger_runs()).values()) == {"Succeeded"}
    assert [call.operation for call in factory.journal].count("TriggerRuns_Rerun") == 4


def test_a_throttled_rerun_is_sent_again_and_acts_once(adf_emulator):
    factory = adf_emulator("orders.yaml")
    factory.fail_next("TriggerRuns_Rerun", status=429, retry_after=30)

    assert rerun_last_night().test(logical_date=factory.now, run_after=factory.now).state == "success"

    reruns = [call for call in factory.journal if call.operation == "TriggerRuns_Rerun"]
    assert [call.status for call in reruns].count(429) == 1
    assert len([call for call in reruns if call.effect]) == 4
