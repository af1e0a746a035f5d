"""Reads YAML with its places: each value knows its file, line and path, so that an error can name them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import yaml

_ISO_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<days>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<hours>\d+(?:\.\d+)?)H)?(?:(?P<minutes>\d+(?:\.\d+)?)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_TIME_SPAN = re.compile(
    r"(?P<sign>-)?(?:(?P<days>\d+)\.)?(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d)"
)


class ScenarioError(ValueError):
    """A scenario says what it cannot: the message names the file, the line and what was expected."""


def parse_duration(text: str) -> timedelta | None:
    """Read a duration in ISO 8601 (``-PT2H``) or as a .NET time span (``1.02:00:00``); None if neither."""
    found = _ISO_DURATION.fullmatch(text) or _TIME_SPAN.fullmatch(text)
    if found is None or text in {"P", "-P"}:
        return None
    parts = {unit: float(value) for unit, value in found.groupdict().items() if value and unit != "sign"}
    duration = timedelta(**parts)
    return -duration if found["sign"] else duration


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a scenario, with its place.

    :param path: how to get there from the top, as in ``triggers.hourly.windows[0].from``.
    """

    node: yaml.Node
    path: str
    source: str

    def fail(self, expected: str) -> NoReturn:
        """Raise the error that says what was expected here."""
        line = self.node.start_mark.line + 1
        found = f", not {self.node.value!r}" if isinstance(self.node, yaml.ScalarNode) else ""
        raise ScenarioError(
            f"{self.source}, line {line}: {self.path or 'the scenario'} must be {expected}{found}"
        )

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_table(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    def items(self) -> list[Value]:
        """Return a list's values; a single value counts as a list of one."""
        if not isinstance(self.node, yaml.SequenceNode):
            return [self]
        return [Value(node, f"{self.path}[{at}]", self.source) for at, node in enumerate(self.node.value)]

    def table(self) -> Table:
        """Return it as a mapping."""
        if not isinstance(self.node, yaml.MappingNode):
            self.fail("a mapping")
        entries: dict[str, Value] = {}
        for key, node in self.node.value:
            name = str(key.value)
            if name in entries:
                first = entries[name].node.start_mark.line + 1
                Value(key, self.path, self.source).fail(
                    f"a mapping that says '{name}' once; line {first} does"
                )
            entries[name] = Value(node, f"{self.path}.{name}" if self.path else name, self.source)
        return Table(self, entries)

    def plain(self) -> Any:
        """Return it as YAML reads it: text, number, list, mapping."""
        document = yaml.serialize(self.node)
        return yaml.safe_load(document)

    def text(self) -> str:
        """Return it as text."""
        if not isinstance(self.node, yaml.ScalarNode):
            self.fail("text")
        return str(self.node.value)

    def choice(self, *allowed: str) -> str:
        """Return which of the allowed words it is, whatever its case."""
        text = self.text().casefold()
        word = next((word for word in allowed if word.casefold() == text), None)
        return word or self.fail("one of " + ", ".join(allowed))

    def number(self, least: float = 0.0) -> float:
        """Return it as a number, not below ``least``."""
        try:
            number = float(self.text())
        except ValueError:
            self.fail("a number")
        if number < least:
            self.fail(f"{least:g} or more")
        return number

    def integer(self, least: int = 0, most: int | None = None) -> int:
        """Return it as a whole number between ``least`` and ``most``."""
        number = self.number()
        if number != int(number) or number < least or (most is not None and number > most):
            self.fail(f"a whole number from {least}" + (f" to {most}" if most is not None else ""))
        return int(number)

    def flag(self) -> bool:
        """Return it as true or false."""
        text = self.text().casefold()
        if text not in {"true", "false", "yes", "no", "on", "off"}:
            self.fail("true or false")
        return text in {"true", "yes", "on"}

    def duration(self) -> timedelta:
        """Return it as a duration: ``PT5M``, ``00:05:00``, or a number of seconds."""
        text = self.text()
        found = parse_duration(text)
        if found is None:
            try:
                return timedelta(seconds=float(text))
            except ValueError:
                self.fail("a duration such as PT5M, 00:05:00 or a number of seconds")
        return found

    def instant(self, now: datetime) -> datetime:
        """Return it as a time: ISO 8601 (UTC where no zone is named), ``now``, or relative as ``-PT2H``."""
        text = self.text()
        if text == "now":
            return now
        relative = parse_duration(text)
        if relative is not None:
            return now + relative
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self.fail("a time such as 2026-03-01T06:00:00Z, now, or -PT2H before it")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _likeliest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word that somebody meant who wrote ``word``, whatever case or separators they used."""
    plain = {re.sub("[-_ ]", "", each).casefold(): each for each in known}
    close = difflib.get_close_matches(re.sub("[-_ ]", "", word).casefold(), plain, n=1)
    return plain[close[0]] if close else None


class Table:
    """A mapping whose entries are taken one by one; what nobody took is a mistake."""

    def __init__(self, place: Value, entries: dict[str, Value]) -> None:
        self.place = place
        self._entries = entries
        self._asked: list[str] = []

    def take(self, key: str) -> Value | None:
        """Return the value of ``key``, or None where it is absent or empty."""
        self._asked.append(key)
        value = self._entries.pop(key, None)
        if value is not None and isinstance(value.node, yaml.ScalarNode) and value.node.tag.endswith(":null"):
            return None
        return value

    def need(self, key: str) -> Value:
        """Return the value of ``key``, which must be there."""
        return self.take(key) or self.place.fail(f"a mapping with '{key}'")

    def rest(self) -> dict[str, Value]:
        """Take every entry that is left."""
        left, self._entries = self._entries, {}
        return left

    def done(self) -> None:
        """Fail where an entry is left that nobody asked for, with the likeliest word meant instead."""
        for key, value in self._entries.items():
            line = value.node.start_mark.line + 1
            meant = _likeliest(key, self._asked)
            suggestion = f" Did you mean '{meant}'?" if meant else ""
            raise ScenarioError(
                f"{value.source}, line {line}: {value.path} is unknown ('{key}').{suggestion}"
                f" Known are {', '.join(self._asked)}"
            )


def read_yaml(scenario: str | Path | Mapping[str, Any]) -> Value:
    """Read a scenario.

    :param scenario: a path; or YAML itself, where a string has several lines; or the mapping it would be.
    """
    if isinstance(scenario, Mapping):
        text, source = yaml.safe_dump(dict(scenario), sort_keys=False), "the scenario mapping"
    elif isinstance(scenario, str) and "\n" in scenario:
        text, source = scenario, "the scenario text"
    else:
        source = str(scenario)
        try:
            text = Path(scenario).read_text(encoding="utf-8")
        except OSError as error:
            raise ScenarioError(f"{source}: cannot be read: {error.strerror}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        hint = "; YAML is indented by spaces" if "'\\t'" in str(error.problem) else ""
        raise ScenarioError(f"{source}{line}: is not YAML: {error.problem}{hint}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(f"{source}: is not YAML: {error}") from error
    if node is None:
        raise ScenarioError(f"{source}: is empty; a scenario needs at least 'pipelines'")
    return Value(node, "", source)
