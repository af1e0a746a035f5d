"""A recorded answer held against the emulated one, field by field; nothing is sent here."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.contract.seeding import iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.contract.recording import Interaction

# Why a field may differ. Each use is counted in the report.
BEFORE_2020 = (
    "until 2019 trigger runs had no groupId and dependencyStatus, the target of an unknown run was"
    " 'pipelinerun', and queries counted as writes; the emulator serves the generations of 2020-21 and since"
    " 2022"
)
JUST_BEGUN = (
    "how soon a run turns from Waiting to Running depends on the service's load; this goes for runs younger"
    " than 30 s only"
)
NO_ORDER = "results come in no documented order: rows are matched by trigger and window, pipeline or activity"
NOT_SIMULATED = (
    "what activities do, and the words in which they fail, is not simulated: their types are compared"
)
SCRUBBED = "the ARM part of a pipeline run's id escaped the recorder's scrubbing: its upper case is compared"

JUST_BEGUN_SECONDS = 30
_NO_VALUE = "(absent)"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_FORMS: Mapping[str, str] = {
    "a timestamp of 5 to 7 fractional digits": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{4,6}[1-9]Z",
    "a timestamp in whole seconds": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "a US time of 12 hours": r"[1-9]\d?/[1-9]\d?/\d{4} [1-9]\d?:\d\d:\d\d [AP]M",
    "a US time of 24 hours": r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d",
    "a trigger run id": r"\d{29}CU\d{2,3}",
    "a UUID": _UUID,
    "32 hexadecimal digits": r"[0-9a-f]{32}",
    "an etag": r"[0-9a-f]{8}-0000-[0-9a-f]{4}-0000-[0-9a-f]{8}0000",
}
# Values that depend on clocks; the recorded and the emulated one must have the same form.
_CLOCKS = {
    "runStart",
    "runEnd",
    "lastUpdated",
    "triggerRunTimestamp",
    "activityRunStart",
    "activityRunEnd",
    "TriggerTime",
    "lastPublishTime",
    "etag",
}
# Ids the emulator makes; the same recorded id must always meet the same emulated one.
_IDS = {"triggerRunId", "groupId", "runGroupId", "activityRunId", "pipelineRunId"}
_ACTIVITYS_OWN = {"input", "output", "error", "linkedServiceName", "userProperties"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs."""

    interaction: str
    path: str
    recorded: Any
    emulated: Any


class Comparison:
    """Compares the answers of one recording; remembers which emulated id stands for which recorded one."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.allowed: Counter[str] = Counter()
        self._ids: dict[str, str] = {}
        self._interaction: Interaction | None = None

    def translated(self, text: str) -> str:
        """Return a recorded text with the emulator's ids."""
        for recorded, emulated in self._ids.items():
            text = text.replace(recorded, emulated)
        return text

    def answer(
        self, interaction: Interaction, status: int, headers: Mapping[str, str], content: bytes
    ) -> None:
        """Compare one answer."""
        self._interaction = interaction
        if interaction.status != status:
            self._differ("status", interaction.status, status)
        self._headers(headers, content)
        try:
            body = json.loads(content) if content else None
        except ValueError:
            self._differ("body", "JSON", content)
            return
        if isinstance(interaction.text, str) and bool(interaction.text) != bool(content):
            self._differ("body", interaction.text or "(empty)", content.decode() or "(empty)")
            return
        self._value("body", interaction.body, body)
        self._layout(interaction, body, content)

    def _differ(self, path: str, recorded: Any, emulated: Any) -> None:
        label = self._interaction.label if self._interaction else ""
        self.differences.append(Difference(label, path, recorded, emulated))

    def _headers(self, emulated: Mapping[str, str], content: bytes) -> None:
        recorded = self._interaction.headers if self._interaction else {}
        for name in ("content-type", "date"):
            if name in recorded and emulated.get(name) != recorded[name]:
                self._differ(f"header {name}", recorded[name], emulated.get(name, _NO_VALUE))
        length = recorded.get("content-length")
        # Longer bodies hold names that the recorder has replaced.
        if length in {"0", "2"} and emulated.get("content-length") != length:
            self._differ("header content-length", length, emulated.get("content-length", _NO_VALUE))
        if length == "0" and "content-type" in emulated:
            self._differ("header content-type", _NO_VALUE, emulated["content-type"])
        if length == "0" and content:
            self._differ("body", "(empty)", content.decode())
        for name in recorded:
            if name.startswith("x-ms-ratelimit-") and not emulated.get(name, "").isdigit():
                if self._is_before_2020() and name.endswith("-writes") and "query" in self._action():
                    self.allowed[BEFORE_2020] += 1
                else:
                    self._differ(f"header {name}", recorded[name], emulated.get(name, _NO_VALUE))
            if name in {"x-ms-request-id", "x-ms-correlation-request-id"}:
                self._form(f"header {name}", recorded[name], emulated.get(name, _NO_VALUE))

    def _action(self) -> str:
        return self._interaction.action if self._interaction else ""

    def _is_before_2020(self) -> bool:
        at = self._interaction.at if self._interaction else None
        return at is not None and at.year < 2020

    def _layout(self, interaction: Interaction, body: Any, content: bytes) -> None:
        """Compare how the JSON is laid out, where the recording keeps, or its length tells, what came."""
        if not content or interaction.body is None:
            return
        compact: dict[str, Any] = {"separators": (",", ":")}
        text = interaction.text
        if text is None:
            length = int(interaction.headers.get("content-length", 0))
            told = {len(_dumped(interaction.body, style)): style for style in (compact, {"indent": 2})}
            style = told.get(length)
        else:
            styles = [style for style in (compact, {"indent": 2}) if _dumped(interaction.body, style) == text]
            style = styles[0] if styles else None
        if style is not None and _dumped(body, style).encode() != content:
            self._differ("layout", "compact" if style is compact else "indented", content[:60].decode())

    def _value(self, path: str, recorded: Any, emulated: Any) -> None:
        key = path.rsplit(".", 1)[-1]
        if isinstance(recorded, dict) and isinstance(emulated, dict):
            self._table(path, recorded, emulated)
        elif isinstance(recorded, list) and isinstance(emulated, list):
            if path == "body.value":
                self._rows(path, recorded, emulated)
            else:
                self._list(path, recorded, emulated)
        elif path == "body.error.target" and recorded == "pipelinerun" and self._is_before_2020():
            self.allowed[BEFORE_2020] += 1
        elif type(recorded) is not type(emulated):
            self._differ(path, recorded, emulated)
        elif isinstance(recorded, str) and (key in _CLOCKS or key in _IDS or ".triggeredPipelines." in path):
            self._form(path, recorded, emulated)
            if key not in _CLOCKS:
                self._bind(path, recorded, emulated)
        elif isinstance(recorded, str):
            self._text(path, recorded, emulated)
        elif recorded != emulated and key != "durationInMs":
            self._differ(path, recorded, emulated)

    def _table(self, path: str, recorded: dict[str, Any], emulated: dict[str, Any]) -> None:
        self._keys(path, recorded, emulated)
        common = [key for key in recorded if key in emulated]
        if "activityRunId" in recorded:
            own = [key for key in common if key in _ACTIVITYS_OWN]
            common = [key for key in common if key not in _ACTIVITYS_OWN]
            self.allowed[NOT_SIMULATED] += len(own)
            for key in own:
                if type(recorded[key]) is not type(emulated[key]):
                    self._differ(f"{path}.{key}", recorded[key], emulated[key])
        if self._has_just_begun(recorded, emulated):
            common = [key for key in common if key not in {"status", "triggeredPipelines"}]
        for key in common:
            self._value(f"{path}.{key}", recorded[key], emulated[key])

    def _keys(self, path: str, recorded: dict[str, Any], emulated: dict[str, Any]) -> None:
        """Compare which keys there are, and their order."""
        allowed = set()
        if self._is_before_2020() and "triggerRunId" in recorded:
            allowed = {"groupId", "dependencyStatus"} - set(recorded)
            self.allowed[BEFORE_2020] += bool(allowed)
        for key, value in recorded.items():
            if key not in emulated:
                self._differ(f"{path}.{key}", value, _NO_VALUE)
        for key, value in emulated.items():
            if key not in recorded and key not in allowed:
                self._differ(f"{path}.{key}", _NO_VALUE, value)
        here, there = (
            [key for key in emulated if key in recorded],
            [key for key in recorded if key in emulated],
        )
        if here != there:
            self._differ(f"{path} (order of keys)", ", ".join(there), ", ".join(here))

    def _has_just_begun(self, recorded: dict[str, Any], emulated: dict[str, Any]) -> bool:
        """Say whether a trigger run may differ by how soon it turned from Waiting to Running."""
        statuses = {recorded.get("status"), emulated.get("status")}
        at = self._interaction.at if self._interaction else None
        if at is None or "triggerRunTimestamp" not in recorded or statuses != {"Waiting", "Running"}:
            return False
        if (at - iso_time(recorded["triggerRunTimestamp"])).total_seconds() > JUST_BEGUN_SECONDS:
            return False
        for row in (recorded, emulated):
            if bool(row["triggeredPipelines"]) != (row["status"] == "Running"):
                return False
        self.allowed[JUST_BEGUN] += 1
        return True

    def _list(self, path: str, recorded: list[Any], emulated: list[Any]) -> None:
        if len(recorded) != len(emulated):
            self._differ(f"{path} (length)", len(recorded), len(emulated))
        for place, (one, other) in enumerate(zip(recorded, emulated, strict=False)):
            self._value(f"{path}[{place}]", one, other)

    def _rows(self, path: str, recorded: list[Any], emulated: list[Any]) -> None:
        """Compare the rows of a query, whatever their order."""
        ours, theirs = _by_identity(emulated, str), _by_identity(recorded, self.translated)
        if list(ours) != list(theirs):
            self.allowed[NO_ORDER] += set(ours) == set(theirs)
        for identity in theirs.keys() - ours.keys():
            self._differ(f"{path}[{identity}]", "a row", _NO_VALUE)
        for identity in ours.keys() - theirs.keys():
            self._differ(f"{path}[{identity}]", _NO_VALUE, "a row")
        for identity in theirs:
            if identity in ours:
                self._value(f"{path}[{identity}]", theirs[identity], ours[identity])

    def _text(self, path: str, recorded: str, emulated: str) -> None:
        arm, separator, run_id = recorded.rpartition("/pipelineruns/")
        if separator:
            self.allowed[SCRUBBED] += 1
            expected = emulated.rpartition("/pipelineruns/")[0].upper() + separator + self.translated(run_id)
            if emulated != expected or arm != arm.upper():
                self._differ(path, recorded, emulated)
        elif path.endswith(".invokedBy.id"):
            self._form(path, recorded, emulated)
            self._bind(path, recorded, emulated)
        elif self.translated(recorded) != emulated:
            self._differ(path, recorded, emulated)

    def _form(self, path: str, recorded: str, emulated: str) -> None:
        of_recorded, of_emulated = _form_of(recorded), _form_of(emulated)
        if of_recorded != of_emulated:
            self._differ(path, f"{recorded} ({of_recorded})", f"{emulated} ({of_emulated})")

    def _bind(self, path: str, recorded: str, emulated: str) -> None:
        if self._ids.setdefault(recorded, emulated) != emulated:
            self._differ(path, f"{recorded}, which is {self._ids[recorded]} here", emulated)


def _dumped(value: Any, style: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, **style)


def _form_of(value: str) -> str:
    return next((name for name, form in _FORMS.items() if re.fullmatch(form, value)), f"the text {value!r}")


def _by_identity(rows: list[dict[str, Any]], translated: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Return rows under what they are, oldest first where several are the same: the runs of one window."""
    found: dict[str, dict[str, Any]] = {}
    counted: Counter[str] = Counter()
    for row in sorted(rows, key=_age):
        properties = row.get("properties") or {}
        if "triggerRunId" in row:
            when = properties.get("windowStartTime") or properties.get("ScheduleTime")
            identity = f"{row['triggerName']} {when}"
        elif "activityRunId" in row:
            identity = row["activityName"]
        elif "invokedBy" in row:
            identity = translated(row["runId"])
        else:
            identity = str(row.get("name"))
        counted[identity] += 1
        found[identity if counted[identity] == 1 else f"{identity}, run {counted[identity]}"] = row
    return {name: found[name] for name in sorted(found, key=lambda name: rows.index(found[name]))}


def _age(row: Mapping[str, Any]) -> str:
    return str(row.get("triggerRunTimestamp") or row.get("activityRunStart") or row.get("runStart") or "")
