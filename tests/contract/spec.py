"""The published spec made into a check of journals; where the live service departs from it is elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.contract import departures

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_adfruns.emulator.journal import JournalEntry

SPEC = Path(__file__).parents[2].parent / "shared" / "adf-api" / "spec"
SWAGGER = "datafactory_2018-06-01__swagger_2021-06-17.json"
TRIGGERS = "entityTypes_Trigger__2021-06-17.json"
ERROR = "CloudError"
_FIRST_ERROR = 400
_DATE_TIME = r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$"
_KEYWORDS = ("enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "required")


@dataclass(frozen=True, slots=True)
class Violation:
    """Something a journal holds and the spec does not know."""

    entry: int
    operation: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"call {self.entry}, {self.operation}, {self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class _Operation:
    method: str
    path: str
    path_patterns: tuple[tuple[str, re.Pattern[str]], ...]
    query: Mapping[str, Mapping[str, Any]]
    body: str | None
    needs_body: bool
    answers: Mapping[int, str | None]


class Spec:
    """The published spec, with what the live service is known to do otherwise.

    Stricter than the spec's dialect: a property that is neither named in the spec nor a known departure is an
    error even where the spec leaves the door open to further ones.

    :param directory: where its files lie.
    """

    def __init__(self, directory: Path) -> None:
        swagger = json.loads((directory / SWAGGER).read_text(encoding="utf-8"))
        triggers = json.loads((directory / TRIGGERS).read_text(encoding="utf-8"))
        self._definitions: dict[str, Any] = {**swagger["definitions"], **triggers["definitions"]}
        self._parameters = swagger["parameters"]
        schemas = {name: self._definition(name) for name in self._definitions}
        schemas |= {name: {} for name in departures.NOT_AT_HAND}
        self._validators = {
            name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas}) for name in schemas
        }
        self.operations = {
            said["operationId"]: self._operation(method, path, said)
            for path, methods in swagger["paths"].items()
            for method, said in methods.items()
        }

    def violations(self, journal: Iterable[JournalEntry]) -> list[Violation]:
        """Return what of a journal's requests and answers is not in the spec.

        What met a fault is left out, as is what the spec does not hold: sign-ins, and paths that are not
        served. Of a refused call the answer is checked only, for its request may be what was refused.
        """
        found: list[Violation] = []
        for entry in journal:
            operation = self.operations.get(entry.operation)
            if operation is None or entry.fault is not None or entry.status is None:
                continue
            if entry.status < _FIRST_ERROR:
                found += [
                    Violation(entry.sequence, entry.operation, *each)
                    for each in self._request(entry, operation)
                ]
            found += [
                Violation(entry.sequence, entry.operation, *each) for each in self._answer(entry, operation)
            ]
        return found

    def _request(self, entry: JournalEntry, operation: _Operation) -> Iterable[tuple[str, str]]:
        yield from _path(entry, operation)
        for name, value in entry.query.items():
            said = operation.query.get(name.lower())
            if said is None:
                yield "query", f"{name} is unknown"
            elif said["type"] == "boolean" and value.lower() not in {"true", "false"}:
                yield "query", f"{name} must be true or false, not {value!r}"
        if operation.body is None and entry.body is not None:
            yield "request", "a body where the spec has none"
        elif operation.body is not None and (entry.body is not None or operation.needs_body):
            yield from self._schema("request", operation.body, entry.body)

    def _answer(self, entry: JournalEntry, operation: _Operation) -> Iterable[tuple[str, str]]:
        status = entry.status or 0
        if status >= _FIRST_ERROR:
            if entry.content or (entry.operation, status) not in departures.ERRORS_WITHOUT_BODY:
                yield from self._schema("answer", ERROR, entry.answer)
        elif status not in operation.answers:
            yield "status", f"{status} is unknown"
        elif (schema := operation.answers[status]) is not None:
            yield from self._schema("answer", schema, entry.answer)
        elif entry.content not in {b"", departures.BODIES_WITHOUT_SCHEMA.get(entry.operation, b"")}:
            yield "answer", f"{entry.content[:40]!r} where the spec has no body"

    def _schema(self, where: str, name: str, value: Any) -> Iterable[tuple[str, str]]:
        for error in self._validators[name].iter_errors(value):
            yield f"{where}{error.json_path[1:]}", error.message

    def _operation(self, method: str, path: str, said: Mapping[str, Any]) -> _Operation:
        parameters = [
            self._parameters[each["$ref"].rsplit("/", 1)[-1]] if "$ref" in each else each
            for each in said["parameters"]
        ]
        bodies = [each for each in parameters if each["in"] == "body"]
        return _Operation(
            method=method.upper(),
            path=path,
            path_patterns=tuple(
                (f"{{{each['name']}}}", re.compile(each["pattern"]))
                for each in parameters
                if each["in"] == "path" and "pattern" in each
            ),
            query={each["name"].lower(): each for each in parameters if each["in"] == "query"},
            body=bodies[0]["schema"]["$ref"].rsplit("/", 1)[-1]
            if bodies and "$ref" in bodies[0]["schema"]
            else None,
            needs_body=bool(bodies and bodies[0].get("required")),
            answers={
                int(status): _reference(answer.get("schema"))
                for status, answer in said["responses"].items()
                if status != "default"
            },
        )

    # The spec's dialect made into JSON Schema

    def _definition(self, name: str) -> dict[str, Any]:
        said = self._flattened(name)
        schema = self._converted(said)
        properties = schema.get("properties")
        if properties is None:
            return schema
        for key, words in ((key, words) for (of, key), words in departures.WORDS.items() if of == name):
            properties[key] = {**properties[key], "enum": sorted({*properties[key]["enum"], *words})}
        properties.update(departures.PROPERTIES.get(name, {}))
        for key in departures.NULLS.get(name, ()):
            properties[key] = {"anyOf": [properties[key], {"type": "null"}]}
        heirs = self._heirs(name) if "discriminator" in said else []
        if heirs:
            # What it is, is told by its discriminator; the heir knows every property.
            key = said["discriminator"]
            choices = [
                {"if": {"properties": {key: {"const": heir}}}, "then": {"$ref": f"#/$defs/{heir}"}}
                for heir in heirs
            ]
            return {
                "type": "object",
                "required": [key],
                "properties": {key: {"enum": heirs}},
                "allOf": choices,
            }
        return {**schema, "type": "object", "additionalProperties": False}

    def _flattened(self, name: str) -> dict[str, Any]:
        """Return a definition with what it inherits."""
        said = self._definitions[name]
        merged: dict[str, Any] = {"properties": {}, "required": []}
        for parent in said.get("allOf", ()):
            inherited = self._flattened(parent["$ref"].rsplit("/", 1)[-1])
            merged["properties"] |= inherited.get("properties", {})
            merged["required"] += inherited.get("required", [])
        merged["properties"] |= said.get("properties", {})
        merged["required"] += said.get("required", [])
        rest = {key: value for key, value in said.items() if key not in {"properties", "required", "allOf"}}
        return rest | {key: value for key, value in merged.items() if value}

    def _heirs(self, name: str) -> list[str]:
        heirs = [
            heir
            for heir, said in self._definitions.items()
            if any(parent["$ref"].rsplit("/", 1)[-1] == name for parent in said.get("allOf", ()))
        ]
        return sorted({*heirs, *(deeper for heir in heirs for deeper in self._heirs(heir))})

    def _converted(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """Return one schema of the dialect, in which an object without properties means any value at all."""
        if "$ref" in said:
            return {"$ref": f"#/$defs/{said['$ref'].rsplit('/', 1)[-1]}"}
        schema: dict[str, Any] = {key: said[key] for key in _KEYWORDS if key in said}
        if "properties" in said:
            schema["properties"] = {key: self._converted(each) for key, each in said["properties"].items()}
        if "additionalProperties" in said and "properties" not in said:
            schema |= {
                "type": "object",
                "additionalProperties": self._converted(said["additionalProperties"]),
            }
        if "items" in said:
            schema["items"] = self._converted(said["items"])
        if said.get("type") not in {None, "object"}:
            schema["type"] = said["type"]
        if said.get("format") == "date-time":
            schema["pattern"] = _DATE_TIME
        return schema


def _path(entry: JournalEntry, operation: _Operation) -> Iterable[tuple[str, str]]:
    if entry.method != operation.method:
        yield "method", f"{entry.method} instead of {operation.method}"
    segments, expected = entry.path.strip("/").split("/"), operation.path.strip("/").split("/")
    if len(segments) != len(expected):
        yield "path", f"{entry.path} instead of {operation.path}"
    patterns = dict(operation.path_patterns)
    for segment, part in zip(segments, expected, strict=False):
        pattern = patterns.get(part)
        if pattern is not None and not pattern.search(segment):
            yield "path", f"{part} must be like {pattern.pattern}, not {segment!r}"
        elif pattern is None and not part.startswith("{") and segment.lower() != part.lower():
            yield "path", f"{segment} instead of {part}"


def _reference(schema: Mapping[str, Any] | None) -> str | None:
    return schema["$ref"].rsplit("/", 1)[-1] if schema and "$ref" in schema else None


def read_spec() -> Spec | None:
    """Return the spec that lies beside the repository, or None where it does not."""
    return Spec(SPEC) if (SPEC / SWAGGER).exists() else None


def assert_in_spec(spec: Spec | None, journal: Iterable[JournalEntry]) -> None:
    """Fail where a journal holds what the spec does not know; without a spec nothing is checked."""
    found = spec.violations(journal) if spec is not None else []
    assert not found, "\n".join(str(each) for each in found)
