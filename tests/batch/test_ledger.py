"""A ledger keeps a batch's windows through JSON, and stays small however many they are."""

from __future__ import annotations

import base64
import json
import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.model import Window
from airflow_provider_adfruns.batch.ledger import KeptLedger, Ledger, Phase, fingerprint, pack, unpack

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


def unchecked() -> None:
    """See no other try: there is one."""


@given(any_windows)
def test_any_windows_in_any_order_come_back_as_they_were(windows: list[Window]) -> None:
    assert unpack(pack(windows)) == tuple(windows)


@given(st.data(), any_windows, st.sampled_from(Phase), instants)
def test_a_ledger_comes_back_from_json_as_it_was(
    data: st.DataObject, windows: list[Window], phase: Phase, planned_at: datetime
) -> None:
    marks = data.draw(st.lists(st.integers(0, 2), min_size=len(windows), max_size=len(windows)))
    marked = list(zip(windows, marks, strict=True))
    before = Ledger(
        "0123456789ab",
        "asked",
        planned_at,
        tuple(windows),
        phase,
        "ti#1",
        newest_first=data.draw(st.booleans()),
        handed=data.draw(st.integers(0, len(windows))),
        theirs=frozenset(window for window, mark in marked if mark == 1),
        again=frozenset(window for window, mark in marked if mark == 2),
        cleared_at=data.draw(st.none() | instants),
        max_tries=data.draw(st.integers(0, 9)),
        fresh=frozenset(data.draw(st.lists(st.sampled_from(windows)))) if windows else frozenset(),
    )
    assert Ledger.from_json(json.loads(json.dumps(before.to_json()))) == before


def squeezed(text: str) -> str:
    return base64.b85encode(zlib.compress(text.encode())).decode()


@pytest.mark.parametrize(
    "damage",
    [
        *[{"handed": value} for value in (None, "5", 3.5, -3, True)],
        *[{"max_tries": value} for value in (None, "2")],
        *[
            {name: value}
            for name in ("planned_at", "cleared_at")
            for value in ("2026-03-01T06:40:00", 3, "x")
        ],
        *[{"windows": value} for value in (None, "", "???", squeezed("1"), squeezed(f"{10**30}|60"))],
        *[{"marks": value} for value in (None, "c", squeezed("9"), squeezed(""))],
        {"newest_first": "no"},
        {"phase": "killed"},
        {"owner": None},
    ],
    ids=str,
)
def test_a_value_that_no_ledger_writes_is_not_read(damage: dict[str, object]) -> None:
    written = ledger(five_minutes(range(5))).to_json()
    with pytest.raises(ValueError, match=r"."):
        Ledger.from_json(written | damage)


@pytest.mark.parametrize("name", sorted(ledger([]).to_json()))
def test_a_ledger_that_lacks_something_is_not_read(name: str) -> None:
    written = ledger(five_minutes(range(5))).to_json()
    with pytest.raises(ValueError, match=name):
        Ledger.from_json({key: value for key, value in written.items() if key != name})


@given(st.data(), st.integers(1, 300), st.booleans())
def test_what_is_sent_is_noted_before_with_about_a_hundred_writes_and_one_in_a_hundred_too_many(
    data: st.DataObject, count: int, newest_first: bool
) -> None:
    writes: list[Ledger] = []
    begun = replace(ledger(five_minutes(range(count))), newest_first=newest_first)
    kept = KeptLedger(begun, writes.append, unchecked)
    order, sent = kept.ledger.in_order, 0
    while sent < count:
        chunk = order[sent : sent + data.draw(st.integers(1, 50))]
        kept.hand(chunk, [])
        sent += len(chunk)
        assert sent <= kept.ledger.handed <= sent + count // 100
        assert kept.ledger == Ledger.from_json(writes[-1].to_json())
    assert len(writes) <= 101


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_5000_windows_need_a_hundred_writes(chunk: int) -> None:
    writes: list[Ledger] = []
    kept = KeptLedger(ledger(five_minutes(range(5000))), writes.append, unchecked)
    for first in range(0, 5000, chunk):
        kept.hand(kept.ledger.in_order[first : first + chunk], [])
    assert len(writes) <= 100
    assert kept.ledger.handed == 5000


def test_a_cleared_window_that_somebody_else_has_rerun_is_not_to_be_rerun_once_more() -> None:
    writes: list[Ledger] = []
    windows = five_minutes(range(3))
    kept = KeptLedger(replace(ledger(windows), again=frozenset(windows[:2])), writes.append, unchecked)
    kept.hand(windows[2:], theirs=windows[:1])
    assert (kept.ledger.again, kept.ledger.theirs) == (frozenset(windows[1:2]), frozenset(windows[:1]))
    assert Ledger.from_json(writes[-1].to_json()) == kept.ledger


def test_windows_that_are_sent_again_need_no_other_write() -> None:
    writes: list[Ledger] = []
    kept = KeptLedger(ledger(five_minutes(range(100))), writes.append, unchecked)
    kept.hand(kept.ledger.windows, [])
    kept.hand(kept.ledger.windows[:10], [])
    assert len(writes) == 1


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_fifty_thousand_windows_stay_under_64_kb(share: float) -> None:
    chance = random.Random(4)  # noqa: S311 - no secret
    grid = range(round(50_000 / share))
    windows = five_minutes(sorted(chance.sample(grid, 50_000)))
    killed = replace(
        ledger(windows),
        handed=50_000,
        theirs=frozenset(chance.sample(windows, 500)),
        again=frozenset(),
        cleared_at=START,
    )
    killed = replace(killed, again=frozenset(windows[:25_000]) - killed.theirs)
    assert len(json.dumps(killed.to_json())) < 64 * 1024
    assert unpack(pack(windows)) == tuple(windows)


@pytest.mark.parametrize(
    ("phase", "by_itself", "cleared"),
    [
        (Phase.SUBMITTING, True, True),
        (Phase.WATCHING, True, True),
        (Phase.SUCCEEDED, True, False),
        (Phase.FAILED, False, False),
    ],
)
def test_a_batch_is_resumed_until_it_is_judged_and_by_airflow_itself_until_it_has_failed(
    phase: Phase, by_itself: bool, cleared: bool
) -> None:
    known = replace(ledger([], phase), max_tries=1)
    assert known.is_resumed_with(1) == by_itself
    assert known.is_resumed_with(2) == cleared


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
)
def test_a_fingerprint_is_the_same_for_the_same_selection_only(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert fingerprint(one) == fingerprint(dict(reversed(one.items())))
    assert (fingerprint(one) == fingerprint(other)) == (one == other)
