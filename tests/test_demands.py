"""A benchmark whose figures are not as demanded says which, and ends non-zero."""

from __future__ import annotations

import pytest

from benchmarks.demands import Demand, exit_status
from benchmarks.throttling import Figures, shared_demands


@pytest.mark.parametrize("found", [0.15, 0.2, 0.25])
def test_a_figure_within_its_bounds_is_as_demanded(found: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status([Demand("the share", found, least=0.15, most=0.25)]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("found", [0.1499, 0.2501, float("nan")])
def test_a_figure_beyond_its_bounds_is_named_and_ends_the_benchmark_with_1(
    found: float, capsys: pytest.CaptureFixture[str]
) -> None:
    demands = [Demand("what is fine", 1.0, most=1.0), Demand("the share", found, least=0.15, most=0.25)]
    assert exit_status(demands) == 1
    assert (
        capsys.readouterr().out
        == f"NOT the share: {found:.2%}, demanded at least 15.00% and at most 25.00%\n"
    )


@pytest.mark.parametrize(
    ("found", "parts", "broken"),
    [
        pytest.param(Figures(48, 673, 14), [170, 170, 170, 163], [], id="as it should be"),
        pytest.param(Figures(48, 600, 14), [150] * 4, ["of the limit"], id="too little"),
        pytest.param(Figures(48, 673, 14), [190, 190, 200, 93], ["the smallest share"], id="one starved"),
        pytest.param(Figures(48, 673, 50), [170, 170, 170, 163], ["answered 429"], id="too many refused"),
    ],
)
def test_processes_of_one_principal_use_its_limit_and_share_it(
    found: Figures, parts: list[int], broken: list[str]
) -> None:
    names = [each.name for each in shared_demands(found, parts) if not each.is_met]
    assert [name.partition(": ")[2] for name in names] == broken
