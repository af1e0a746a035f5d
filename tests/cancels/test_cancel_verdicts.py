"""The sensor's verdict on cancels of whole trees equals what the local factory knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cancels.tree import draw, judge, scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_adfruns.emulator import AdfEmulator


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_verdict_on_a_cancelled_tree_is_the_truth(factory: Callable[..., AdfEmulator], seed: int) -> None:
    drawn = draw(seed)
    found = judge(factory(scenario(drawn, regions=5, shops=8)), drawn)
    assert found.findings == []
