"""The floors that pyproject.toml promises are the versions that the oldest environment is made of."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FLOORS = [
    re.fullmatch(r"([\w.-]+)(?:\[\w+\])?>=([\d.]+)(?:,<\d+)?", each) for each in PROJECT["dependencies"]
]


def pins(name: str) -> dict[str, str]:
    """Return the versions that a constraints file pins, by the project's name in small letters."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return {
        project.lower(): version
        for project, _, version in (line.partition("==") for line in lines if not line.startswith("#"))
    }


@pytest.mark.parametrize("floor", FLOORS, ids=str)
def test_each_floor_is_what_the_oldest_environment_has(floor: re.Match[str] | None) -> None:
    assert floor is not None, "a dependency without a floor promises what nothing tests"
    name, version = floor.groups()
    pinned = pins("constraints-oldest.txt")[name.lower()]
    assert [*map(int, pinned.split("."))] == [*map(int, version.split(".")), 0, 0][: pinned.count(".") + 1]


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt", "constraints-beside.txt"])
def test_constraints_are_exact_pins_and_name_no_index(name: str) -> None:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"# .*|[\w.-]+==[\w.+]+", line)] == []


def test_the_python_versions_claimed_are_those_tested() -> None:
    claimed = [each for each in PROJECT["classifiers"] if each.startswith("Programming Language")]
    assert claimed == ["Programming Language :: Python :: 3.11"]
