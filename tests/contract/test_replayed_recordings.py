"""Recorded traffic of the live service, replayed; the recordings lie beside the repository, not in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.recording import read_recording
from tests.contract.replay import replay
from tests.contract.spec import assert_in_spec

if TYPE_CHECKING:
    from tests.contract.spec import Spec

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "adf-api" / "recordings"
FILES = sorted(RECORDINGS.glob("*.json"))
LEAST_COMPARED = 70

needs_recordings = pytest.mark.skipif(not FILES, reason=f"no recordings of the live service in {RECORDINGS}")


@needs_recordings
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_emulator_answers_as_the_recorded_service_did(path: Path, spec: Spec | None) -> None:
    report, emulator = replay(read_recording(path))
    assert report.differences == [], "\n".join(report.lines())
    assert_in_spec(spec, emulator.journal)


@needs_recordings
def test_the_recordings_are_compared_in_great_part() -> None:
    reports = [replay(read_recording(path))[0] for path in FILES]
    compared = sum(report.compared for report in reports)
    skipped = sum(sum(report.skipped.values()) for report in reports)
    assert compared >= LEAST_COMPARED, "\n".join(line for report in reports for line in report.lines())
    assert skipped <= compared // 7
