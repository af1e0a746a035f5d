"""What a benchmark's figures have to be: each demand is a bound, and one that is broken ends it non-zero."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Demand:
    """A figure and its bounds.

    :param name: what was measured, with its unit.
    :param found: the figure.
    :param least: it may not be less. Default: no such bound.
    :param most: it may not be more. Default: no such bound.
    :param form: how figures are written, as in ``format()``. Default: as a percentage.
    """

    name: str
    found: float
    least: float = -inf
    most: float = inf
    form: str = ".2%"

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its bounds; what is no number is not."""
        return self.least <= self.found <= self.most

    def __str__(self) -> str:
        bounds = [
            f"{word} {bound:{self.form}}"
            for word, bound in (("at least", self.least), ("at most", self.most))
            if abs(bound) < inf
        ]
        return f"{self.name}: {self.found:{self.form}}, demanded {' and '.join(bounds)}"


def exit_status(demands: Iterable[Demand]) -> int:
    """Name the demands that are broken. :return: 0 if there are none, else 1."""
    broken = [each for each in demands if not each.is_met]
    for each in broken:
        print(f"NOT {each}", flush=True)
    return 1 if broken else 0
