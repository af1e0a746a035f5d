"""The soak's judge tells a blocked loop from a machine that is busy, and allows neither without bound."""

from __future__ import annotations

import pytest

from tests.live.soak import VoidRunError, judge_loop


@pytest.mark.parametrize(("loop", "machine"), [([], 0.0), ([0.12, 0.2], 0.0), ([0.45], 0.3)])
def test_a_loop_that_waited_no_longer_than_the_bound_and_the_machine_is_well(
    loop: list[float], machine: float
) -> None:
    assert judge_loop("while they waited", loop, machine) == []


@pytest.mark.parametrize(("loop", "machine"), [(0.21, 0.0), (0.51, 0.3), (5.0, 1.0)])
def test_a_loop_that_was_blocked_for_longer_is_found(loop: float, machine: float) -> None:
    found = judge_loop("while they waited", [0.11, loop], machine)
    assert found == [f"the loop was blocked for {loop:.2f} s while they waited"]


@pytest.mark.parametrize("loop", [[], [0.45]], ids=["nothing seen", "blocked within the stall"])
def test_a_run_on_a_machine_that_stalled_is_void_and_says_why(loop: list[float]) -> None:
    with pytest.raises(VoidRunError, match=r"the machine itself stalled for 0\.31 s while they waited"):
        judge_loop("while they waited", loop, 0.31)
