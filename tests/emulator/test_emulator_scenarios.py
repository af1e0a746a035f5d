"""Scenarios: what is wrong with one is said with its file, line and what was expected; the example holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_adfruns.emulator import AdfEmulator, ScenarioError, command

if TYPE_CHECKING:
    from tests.emulator.conftest import Serve

EXAMPLE = Path(command.__file__).parent / "scenarios" / "night.yaml"
TOP = "now: 2026-03-01T06:40:00Z\npipelines:\n  load: {}\n"
TRIGGER = TOP + "triggers:\n  hourly:\n    pipeline: load\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (TOP + "colour: red\n", 4, "colour is unknown"),
        (TOP + "query_lag_seconds: soon\n", 4, "query_lag_seconds must be a number, not 'soon'"),
        (TRIGGER + "    frequency: Day\n", 7, "triggers.hourly.frequency must be one of Minute, Hour, Month"),
        (TRIGGER + "    maxConcurrency: 51\n", 7, "a whole number from 1 to 50"),
        (TRIGGER + "    delay: later\n", 7, "a duration such as"),
        (TRIGGER + "    startTime: noon\n", 7, "a time such as"),
        (TRIGGER + "    pipelines: load\n", 7, "pipelines is unknown"),
        (TRIGGER + "    dependsOn: [{offset: PT1H}]\n", 7, "self: true"),
        (TRIGGER + "    dependsOn: [{self: true, offset: PT1H}]\n", 7, "a negative offset"),
        (TRIGGER + "    windows: {count: 2, status: Broken}\n", 7, "one of Waiting, WaitingOnDependency"),
        (TRIGGER + "    windows: {from: now, count: 2}\n", 7, "between the trigger's startTime and now"),
        (
            TRIGGER + "    windows:\n      count: 2\n      except: [{windows: 2, status: Failed}]\n",
            9,
            "places 0..1",
        ),
        (TRIGGER + "    windows: {count: 1, stuck: true}\n", 7, "WaitingOnDependency"),
        (TOP + "runs: [{pipeline: nope}]\n", 4, "the name of a pipeline: load"),
        (TOP + "runs: [{pipeline: load, started: PT1H}]\n", 4, "a time in order"),
        (TOP + "runs: [{pipeline: load, status: Done}]\n", 4, "one of Queued, InProgress"),
        ("pipelines:\n  a: {activities: [{name: A, dependsOn: [B]}]}\n", 2, "'A' depends on 'B'"),
        ("now: now\nseed: 1\n", 1, "a mapping with 'pipelines'"),
        (TRIGGER + "    max_concurrency: 3\n", 7, "Did you mean 'maxConcurrency'?"),
        (TRIGGER + "    windws: {count: 2}\n", 7, "Did you mean 'windows'?"),
        (TOP + "factory: {Name: x}\n", 4, "Did you mean 'name'?"),
        (TOP + "triggers: [hourly]\n", 4, "triggers must be a mapping"),
        (TOP + "triggers:\n  hourly: load\n", 5, "triggers.hourly must be a mapping, not 'load'"),
        ("pipelines:\n  load: {seconds: [1]}\n", 2, "pipelines.load.seconds must be a number"),
        (TOP + "triggers:\n  hourly:\n    pipeline: lod\n", 6, "the name of a pipeline: load, not 'lod'"),
        (TOP + "  close: {activities: [{name: A, pipeline: lod}]}\n", 4, "'A' starts 'lod'"),
        (TRIGGER + "    dependsOn: [{trigger: nope}]\n", 6, "'nope' is none"),
        (
            TRIGGER + "    windows:\n      - {count: 3}\n      - {from: -PT2H, count: 2}\n",
            9,
            "2026-03-01 04:00:00+00:00 is told twice",
        ),
        (TRIGGER + "    windows: {from: -PT3H, until: -PT5H}\n", 7, "whose 'from' lies before its 'until'"),
        (TRIGGER + "    windows: {count: 1e99}\n", 7, "a whole number from 1 to 1000000"),
        (TRIGGER + "    windows: {count: 2, runs: [{status: Failed, id: x}]}\n", 7, "to one window only"),
        (TOP + "  load: {seconds: 1}\n", 4, "says 'load' once; line 3 does"),
        (TRIGGER + "  hourly:\n    pipeline: load\n", 7, "says 'hourly' once; line 6 does"),
        (TOP + "seed: 1\nseed: 2\n", 5, "says 'seed' once; line 4 does"),
        (
            TOP + "runs:\n  - {pipeline: load, id: a}\n  - {pipeline: load, id: A}\n",
            6,
            "'A' is another run's",
        ),
        (TOP + "principals:\n  - {name: a}\n  - {name: a}\n", 6, "another one is 'a'"),
        ("pipelines:\n\tload: {}\n", 2, "is not YAML: found character"),
        ("pipelines:\n\tload: {}\n", 2, "indented by spaces"),
        ("pipelines: a: b\n", 1, "is not YAML: mapping values are not allowed here"),
        ("pipelines:\n  load: *missing\n", 2, "undefined alias"),
        (
            "pipelines:\n  a: {cancel: {stuck: 1.5}}\n",
            2,
            "a probability from 0 to 1, true or false, not '1.5'",
        ),
        ("pipelines:\n  a: {cancel: {cancels_needed: 2}}\n", 2, "beside 'stuck'"),
        ("pipelines:\n  a: {cancel: {stuck: 1, cancels_needed: 1}}\n", 2, "a whole number from 2"),
        ("pipelines:\n  a: {cancel: {late_seconds: 2}}\n", 2, "beside 'late_activity' or 'late_child'"),
        (TOP + "runs: [{pipeline: load, cancel: {stuck: 1}}]\n", 4, "is not cancelled any more"),
        ("pipelines:\n  a: {activities: [{name: A, count: 0}]}\n", 2, "a whole number from 1 to 1000"),
        ("- pipelines\n", 1, "the scenario must be a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        AdfEmulator(path)
    assert f"{path}, line {line}: " in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "pipelines: {a: {activities: [{name: A, dependsOn: [B]}, {name: B, dependsOn: [A]}]}}\n",
        "pipelines: {a: {activities: [{name: A, pipeline: b}]}, b: {activities: [{name: B, pipeline: a}]}}\n",
    ],
)
def test_a_circle_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError, match="circle"):
        AdfEmulator(text)


def test_a_missing_file_and_broken_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        AdfEmulator(tmp_path / "missing.yaml")
    with pytest.raises(ScenarioError, match="is not YAML"):
        AdfEmulator("a: [\n")


def test_the_bundled_night_has_failed_rerun_and_stuck_windows(serve: Serve) -> None:
    door = serve(EXAMPLE)
    sales = [run["status"] for run in door.only("hourly_sales")]
    assert (sales.count("Failed"), sales.count("Succeeded")) == (12, 31)
    assert door.only("hourly_report")[-1]["status"] == "WaitingOnDependency"
    assert {
        run["pipelineName"] for run in door.emulator.pipeline_runs() if run["status"] == "InProgress"
    } == {
        "close_day",
        "close_region",
    }


def test_windows_can_be_chosen_by_place_range_and_start() -> None:
    text = TRIGGER + (
        "    state: stopped\n    windows:\n      count: 6\n      except:\n"
        "        - {windows: [0, 2..3, '2026-03-01T05:00:00Z'], status: Failed}\n"
    )
    with AdfEmulator(text, clock="manual") as emulator:
        runs = emulator.trigger_runs("hourly")
    assert [run["status"] == "Failed" for run in runs] == [True, False, True, True, False, True]
