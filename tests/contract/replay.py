"""Replays recordings of the live service to a freshly seeded emulator and reports where it answers otherwise.

    python -m tests.contract.replay FILE...

It ends with 0 where nothing differs, with 1 where something does, and with 2 where a file is no recording.
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.contract.comparison import Comparison, Difference
from tests.contract.recording import UnusableRecordingError, read_recording
from tests.contract.seeding import make_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_adfruns.emulator.wire import Generation
    from tests.contract.recording import Interaction, Recording
    from tests.contract.seeding import Seed

# What is not sent, by a segment of its path, and why.
SKIPPED: Mapping[str, str] = {
    "geteventsubscriptionstatus": "event subscriptions belong to event triggers, which are not simulated",
    "subscribetoevents": "event subscriptions belong to event triggers, which are not simulated",
    "unsubscribefromevents": "event subscriptions belong to event triggers, which are not simulated",
    "integrationruntimes": "integration runtimes are no part of the run API",
    "linkedservices": "linked services are no part of the run API",
    "datasets": "datasets are no part of the run API",
    "dataflows": "data flows are no part of the run API",
}
UNTOLD = "the recording does not tell what was sent; the answer seeds the factory"
API_VERSION = {"api-version": "2018-06-01"}


@dataclass(slots=True)
class Report:
    """What became of one recording."""

    name: str
    compared: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return it as people read it."""
        found = [f"{self.name}: {self.compared} answers compared, {len(self.differences)} differences"]
        found += [f"  {count} not sent: {why}" for why, count in self.skipped.items()]
        found += [f"  {count} x allowed: {why}" for why, count in self.allowed.items() if count]
        for each in self.differences:
            found += [
                f"  {each.interaction}",
                f"    {each.path}",
                f"      recorded {each.recorded!r}",
                f"      emulated {each.emulated!r}",
            ]
        return found


def replay(recording: Recording) -> tuple[Report, AdfEmulator]:
    """Send a recording's requests to an emulator seeded from it, and compare the answers.

    :return: the report; and the emulator, which has ended, for its journal.
    """
    seed = make_seed(recording)
    report, comparison = Report(recording.name), Comparison()
    generation = cast("Generation", recording.generation)
    # Loading the usual certificates takes longer than a replay does, and plain http needs none.
    verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        AdfEmulator(seed.scenario, clock="manual", wire_generation=generation) as emulator,
        httpx.Client(base_url=emulator.url, timeout=30, verify=verify) as client,
    ):
        _publish(recording, seed, client)
        for each in recording.interactions:
            why = _why_not(each)
            if why is not None:
                report.skipped[why] += 1
                continue
            if each.at is not None and each.at > emulator.now:
                emulator.advance((each.at - emulator.now).total_seconds())
            answer = _send(client, each, comparison)
            report.compared += 1
            comparison.answer(each, answer.status_code, answer.headers, answer.content)
    report.differences, report.allowed = comparison.differences, comparison.allowed
    return report, emulator


def _why_not(interaction: Interaction) -> str | None:
    if interaction.method == "PUT" and not interaction.is_told:
        return UNTOLD
    return next((why for segment in interaction.tail if (why := SKIPPED.get(segment.lower()))), None)


def _publish(recording: Recording, seed: Seed, client: httpx.Client) -> None:
    """Publish what the recording found published."""
    base = "/" + "/".join(recording.interactions[0].prefix)
    for kind, name, properties, started in seed.published:
        path = f"{base}/{kind}/{name}"
        client.put(path, params=API_VERSION, json={"properties": properties}).raise_for_status()
        if started:
            client.post(f"{path}/start", params=API_VERSION).raise_for_status()


def _send(client: httpx.Client, interaction: Interaction, comparison: Comparison) -> httpx.Response:
    path = comparison.translated("/" + "/".join((*interaction.prefix, *interaction.tail)))
    options: dict[str, Any] = {}
    if interaction.sent is not None:
        options["json"] = json.loads(comparison.translated(json.dumps(interaction.sent)))
    if (
        interaction.action == "createrun"
        and isinstance(interaction.body, dict)
        and "runId" in interaction.body
    ):
        # A run's id is the request id its caller chose, in every recording that shows both.
        options["headers"] = {"x-ms-client-request-id": interaction.body["runId"]}
    return client.request(interaction.method, path, params=dict(interaction.query), **options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay the files named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.contract.replay", description=__doc__.split("\n")[0]
    )
    parser.add_argument("file", nargs="+", type=Path, help="a recording of the live service")
    differs = False
    for path in parser.parse_args(arguments).file:
        try:
            recording = read_recording(path)
        except UnusableRecordingError as error:
            print(error, file=sys.stderr)  # noqa: T201 - a command prints
            return 2
        report, _ = replay(recording)
        print("\n".join(report.lines()))  # noqa: T201 - a command prints
        differs = differs or bool(report.differences)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(main())
