"""The check against the published spec itself: it passes what is right, and finds each kind of departure."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.recording import read_recording
from tests.contract.replay import replay
from tests.contract.spec import SPEC, assert_in_spec, read_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from tests.contract.spec import Spec

BY_HAND = Path(__file__).with_name("written_by_hand.json")

if read_spec() is None:
    pytest.skip(f"the published spec is not at hand: there is no {SPEC}", allow_module_level=True)


@pytest.fixture(scope="module")
def journal() -> dict[str, JournalEntry]:
    """Return a call of each operation, the first of its kind, under its name."""
    _, emulator = replay(read_recording(BY_HAND))
    found: dict[str, JournalEntry] = {}
    for entry in emulator.journal:
        found.setdefault(entry.operation if entry.status == 200 else f"{entry.operation} refused", entry)
    return found


def answered(change: Callable[[Any], Any]) -> Callable[[JournalEntry], JournalEntry]:
    """Return a change of a call's answer."""

    def changed(entry: JournalEntry) -> JournalEntry:
        answer = copy.deepcopy(entry.answer)
        change(answer)
        return replace(entry, content=json.dumps(answer).encode())

    return changed


def asked(change: Callable[[Any], Any]) -> Callable[[JournalEntry], JournalEntry]:
    """Return a change of what a call sent."""

    def changed(entry: JournalEntry) -> JournalEntry:
        body = copy.deepcopy(entry.body)
        change(body)
        return replace(entry, body=body)

    return changed


def test_what_is_in_the_spec_passes(journal: dict[str, JournalEntry], spec: Spec | None) -> None:
    assert len(journal) >= 11
    assert_in_spec(spec, journal.values())


@pytest.mark.parametrize(
    ("operation", "change", "where"),
    [
        ("PipelineRuns_Get", answered(lambda run: run.update(cost=1)), "answer"),
        ("PipelineRuns_Get", answered(lambda run: run.update(durationInMs="7")), "answer.durationInMs"),
        ("PipelineRuns_Get", answered(lambda run: run.update(runId=None)), "answer.runId"),
        (
            "PipelineRuns_Get",
            answered(lambda run: run.update(runStart="02/01/2026 08:00:00")),
            "answer.runStart",
        ),
        ("PipelineRuns_Get", answered(lambda run: run.update(id=run["id"].lower())), "answer.id"),
        ("PipelineRuns_Get", answered(lambda run: run["parameters"].update(n=1)), "answer.parameters.n"),
        ("PipelineRuns_Get", lambda entry: replace(entry, status=201), "status"),
        (
            "PipelineRuns_Get",
            lambda entry: replace(entry, query={"api-version": "1", "expand": "all"}),
            "query",
        ),
        ("PipelineRuns_Get refused", lambda entry: replace(entry, status=400), "answer"),
        (
            "TriggerRuns_QueryByFactory",
            answered(lambda page: page["value"][0].update(status="Sleeping")),
            "answer.value[0].status",
        ),
        ("TriggerRuns_QueryByFactory", answered(lambda page: page.pop("value")), "answer"),
        ("TriggerRuns_QueryByFactory", asked(lambda body: body.pop("lastUpdatedBefore")), "request"),
        (
            "TriggerRuns_QueryByFactory",
            asked(lambda body: body["filters"][0].update(operator="Like")),
            "request.filters[0].operator",
        ),
        ("TriggerRuns_QueryByFactory", lambda entry: replace(entry, body=None), "request"),
        ("TriggerRuns_Rerun", lambda entry: replace(entry, content=b"{}"), "answer"),
        ("TriggerRuns_Rerun", lambda entry: replace(entry, body={"parameters": {}}), "request"),
        ("TriggerRuns_Cancel refused", answered(lambda body: body["error"].pop("code")), "answer.error"),
        (
            "Triggers_Get",
            answered(lambda trigger: trigger["properties"]["typeProperties"].update(frequency="Day")),
            "answer.properties.typeProperties.frequency",
        ),
        (
            "Triggers_Get",
            answered(lambda trigger: trigger["properties"].pop("pipeline")),
            "answer.properties",
        ),
        ("Pipelines_CreateRun", answered(lambda created: created.update(runId=7)), "answer.runId"),
        ("Triggers_Start", lambda entry: replace(entry, path=entry.path.replace("tide", "a%2Fb?")), "path"),
        ("Triggers_Start", lambda entry: replace(entry, method="PUT"), "method"),
    ],
)
def test_what_is_not_in_the_spec_is_found(
    journal: dict[str, JournalEntry],
    spec: Spec | None,
    operation: str,
    change: Callable[[JournalEntry], JournalEntry],
    where: str,
) -> None:
    assert spec is not None
    found = spec.violations([change(journal[operation])])
    assert where in {each.where for each in found}, found


def test_a_departure_fails_a_test_and_names_the_call(
    journal: dict[str, JournalEntry], spec: Spec | None
) -> None:
    wrong = replace(journal["PipelineRuns_Get"], content=b'{"runId": 7}')
    with pytest.raises(AssertionError, match=r"call \d+, PipelineRuns_Get, answer\.runId: 7 is not of type"):
        assert_in_spec(spec, [wrong])
