"""A factory as a recording found it: a scenario and what is published first; nothing is compared here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.contract.recording import Interaction, Recording

USUAL_SECONDS = 10.0
FINAL = {"Succeeded", "Failed", "Cancelled"}
_US_TIMES = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p")


@dataclass(slots=True)
class Seed:
    """What an emulator is started with.

    :param scenario: the emulator's scenario.
    :param published: documents put before the first request: kind, name, properties, whether it is started.
    """

    scenario: dict[str, Any]
    published: list[tuple[str, str, dict[str, Any], bool]] = field(default_factory=list)


def us_time(text: str) -> datetime:
    """Read a window's time of either generation."""
    form = _US_TIMES["M" in text]
    return datetime.strptime(text, form).replace(tzinfo=UTC)


def iso_time(text: str) -> datetime:
    """Read a timestamp, to the microsecond."""
    return datetime.fromisoformat(text)


def make_seed(recording: Recording) -> Seed:
    """Tell from a recording what its factory was made of, what had run before, and how fast it went."""
    subscription, resource_group, name = recording.place
    triggers = _past_triggers(recording)
    seconds = _pipeline_seconds(recording)
    pipelines = {pipeline: {"seconds": seconds} for pipeline in _unpublished_pipelines(recording)}
    for trigger in triggers.values():
        pipelines.setdefault(trigger["pipeline"], {"seconds": seconds})
    runs = _past_runs(recording)
    for run in runs:
        pipelines.setdefault(run["pipeline"], {"seconds": seconds})
    scenario = {
        "now": recording.begin.isoformat(),
        "factory": {"subscription": subscription, "resource_group": resource_group, "name": name},
        # Every state a recording shows was seen; that it may be seen late is for other tests.
        "query_lag_seconds": 0,
        "rerun_waiting_seconds": _rerun_waiting_seconds(recording),
        "pipelines": pipelines,
        "triggers": triggers,
        "runs": runs,
    }
    return Seed(scenario, _first_documents(recording))


def _unpublished_pipelines(recording: Recording) -> list[str]:
    """Return the pipelines that are spoken of before they are published."""
    published: set[str] = set()
    found: dict[str, None] = {}
    for each in recording.interactions:
        named = each.names("pipelines")
        if named is not None and each.method == "PUT" and each.is_told:
            published.add(named)
        spoken_of = [named] if named is not None and each.status < 300 else []
        spoken_of += _references(each.sent) + _references(each.body)
        spoken_of += [pipeline for row in each.rows for pipeline in row.get("triggeredPipelines") or ()]
        found.update(dict.fromkeys(pipeline for pipeline in spoken_of if pipeline not in published))
    return list(found)


def _references(value: Any) -> list[str]:
    """Return the pipelines that a document refers to, however deep."""
    if isinstance(value, list):
        return [name for each in value for name in _references(each)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == "PipelineReference":
        return [str(value["referenceName"])]
    return [name for each in value.values() for name in _references(each)]


def _first_documents(recording: Recording) -> list[tuple[str, str, dict[str, Any], bool]]:
    """Return what is read, or published by a request that was not recorded, before it is put."""
    put: set[tuple[str, str]] = set()
    found = []
    for each in recording.interactions:
        for kind in ("pipelines", "triggers"):
            name = each.names(kind)
            if name is None or (kind, name) in put:
                continue
            if each.method == "PUT" and each.is_told:
                put.add((kind, name))
            elif each.method in {"GET", "PUT"} and isinstance(each.body, dict) and "properties" in each.body:
                put.add((kind, name))
                properties = dict(each.body["properties"])
                properties.pop("lastPublishTime", None)
                started = properties.pop("runtimeState", "Stopped") == "Started"
                found.append((kind, name, properties, started))
    return sorted(found, key=lambda each: each[0])


def _is_past(row: Mapping[str, Any], key: str, recording: Recording) -> bool:
    return key in row and iso_time(row[key]) < recording.begin


def _past_triggers(recording: Recording) -> dict[str, dict[str, Any]]:
    """Return tumbling window triggers with the runs that were there when the recording began."""
    first_seen: dict[str, dict[str, Any]] = {}
    for _, row in recording.all_rows():
        if _is_past(row, "triggerRunTimestamp", recording) and "windowStartTime" in row["properties"]:
            first_seen.setdefault(row["triggerRunId"], row)
    windows: dict[str, dict[datetime, list[dict[str, Any]]]] = {}
    for row in sorted(first_seen.values(), key=lambda row: str(row["triggerRunTimestamp"])):
        start = us_time(row["properties"]["windowStartTime"])
        windows.setdefault(row["triggerName"], {}).setdefault(start, []).append(row)
    documents = {name: said for kind, name, said, _ in _first_documents(recording) if kind == "triggers"}
    return {name: _past_trigger(rows, documents.get(name)) for name, rows in windows.items()}


def _past_trigger(
    windows: Mapping[datetime, list[dict[str, Any]]], document: Mapping[str, Any] | None
) -> dict[str, Any]:
    start, rows = next(iter(windows.items()))
    length = us_time(rows[0]["properties"]["windowEndTime"]) - start
    all_rows = [row for each in windows.values() for row in each]
    pipeline = next((name for row in all_rows for name in row["triggeredPipelines"]), "pipeline")
    first = min(windows)
    if document is not None:
        pipeline = document["pipeline"]["pipelineReference"]["referenceName"]
        first = iso_time(document["typeProperties"]["startTime"])
    return {
        "pipeline": pipeline,
        "frequency": "Minute",
        "interval": length // timedelta(minutes=1),
        "startTime": first.isoformat(),
        "state": "stopped",
        "windows": [
            {"from": start.isoformat(), "count": 1, "runs": [_past_window_run(row) for row in rows]}
            for start, rows in windows.items()
        ],
    }


def _past_window_run(row: Mapping[str, Any]) -> dict[str, Any]:
    said = {"status": row["status"], "at": row["triggerRunTimestamp"], "id": row["triggerRunId"]}
    pipeline_runs = list(row["triggeredPipelines"].values())
    return said | ({"pipeline_run_id": pipeline_runs[0]} if pipeline_runs else {})


def _past_runs(recording: Recording) -> list[dict[str, Any]]:
    """Return the pipeline runs that were there when the recording began, but for those of past triggers."""
    of_triggers = {
        run_id for _, row in recording.all_rows() for run_id in (row.get("triggeredPipelines") or {}).values()
    }
    shown = [row for _, row in recording.all_rows()]
    shown += [each.body for each in recording.interactions if isinstance(each.body, dict)]
    found: dict[str, dict[str, Any]] = {}
    for row in shown:
        is_run = "runId" in row and "runStart" in row
        if is_run and row["runId"] not in of_triggers and _is_past(row, "runStart", recording):
            ended = row["runEnd"] if row["status"] in FINAL else None
            found.setdefault(
                row["runId"],
                {
                    "pipeline": row["pipelineName"],
                    "id": row["runId"],
                    "status": row["status"],
                    "started": row["runStart"],
                    "parameters": row["parameters"],
                }
                | ({"ended": ended} if ended else {}),
            )
    return list(found.values())


def _pipeline_seconds(recording: Recording) -> float:
    """Tell how long a pipeline's run takes from how its trigger's runs follow each other.

    With maxConcurrency n a window that is overdue begins when the one n places before it has ended.
    """
    limits = [
        each.sent["properties"]["typeProperties"].get("maxConcurrency") for each in _tumbling(recording)
    ]
    rows = max((each.rows for each in recording.interactions), key=len)
    begun = sorted(iso_time(row["triggerRunTimestamp"]) for row in rows if "triggerRunTimestamp" in row)
    limit = next((limit for limit in limits if limit), len(begun))
    gaps = [(after - before).total_seconds() for before, after in zip(begun, begun[limit:], strict=False)]
    return median(gaps) if gaps else USUAL_SECONDS


def _tumbling(recording: Recording) -> list[Interaction]:
    puts = [each for each in recording.interactions if each.method == "PUT" and each.names("triggers")]
    return [each for each in puts if each.sent and each.sent["properties"]["type"] == "TumblingWindowTrigger"]


def _rerun_waiting_seconds(recording: Recording) -> float:
    """Tell how long a rerun waits: not at all, unless the next query shows it Waiting."""
    longest = 0.0
    for one, other in pairwise(recording.interactions):
        waiting = [row for row in other.rows if row.get("status") == "Waiting"]
        if one.action == "rerun" and waiting and one.at and other.at:
            longest = max(longest, (other.at - one.at).total_seconds() + 1)
    return longest
