"""A ledger keeps a batch's windows through JSON, and stays small however many they are."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import Window
from airflow_provider_adfruns.batch.ledger import Ledger, Phase, fingerprint, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 1, 15, tzinfo=UTC)

instants = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
any_windows = st.lists(
    st.builds(
        lambda start, seconds: Window(start, start + timedelta(seconds=seconds)),
        instants,
        st.integers(1, 10_000_000),
    ),
    unique=True,
    max_size=40,
)


def five_minutes(numbers: Sequence[int]) -> list[Window]:
    step = timedelta(minutes=5)
    return [Window(START + number * step, START + (number + 1) * step) for number in numbers]


def ledger(windows: Sequence[Window], phase: Phase = Phase.SUBMITTING) -> Ledger:
    return Ledger("0123456789ab", fingerprint({"windows": "all"}), START, tuple(windows), phase, "ti#1")


@given(any_windows)
def test_any_windows_in_any_order_come_back_as_they_were(windows: list[Window]) -> None:
    assert unpack(pack(windows)) == tuple(windows)


@given(any_windows, st.sampled_from(Phase), instants)
def test_a_ledger_comes_back_from_json_as_it_was(
    windows: list[Window], phase: Phase, planned_at: datetime
) -> None:
    before = Ledger("0123456789ab", "asked", planned_at, tuple(windows), phase, "ti#1")
    assert Ledger.from_json(json.loads(json.dumps(before.to_json()))) == before


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_fifty_thousand_windows_stay_under_64_kb(share: float) -> None:
    chance = random.Random(4)  # noqa: S311 - no secret
    grid = range(round(50_000 / share))
    windows = five_minutes(sorted(chance.sample(grid, 50_000)))
    assert len(json.dumps(ledger(windows).to_json())) < 64 * 1024
    assert unpack(pack(windows)) == tuple(windows)


@pytest.mark.parametrize(
    ("phase", "is_open"), [(Phase.SUBMITTING, True), (Phase.WATCHING, True), (Phase.FINISHED, False)]
)
def test_a_batch_is_open_until_it_is_judged(phase: Phase, is_open: bool) -> None:
    assert ledger([], phase).is_open == is_open


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
)
def test_a_fingerprint_is_the_same_for_the_same_selection_only(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
