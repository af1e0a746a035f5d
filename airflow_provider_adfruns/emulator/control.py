"""The control API: moves, spoils, keeps and shows a factory in JSON; never throttled, and free of faults."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator.exchange import Answer
from airflow_provider_adfruns.emulator.faults import read_fault
from airflow_provider_adfruns.emulator.reading import ScenarioError
from airflow_provider_adfruns.emulator.scenario import load_scenario
from airflow_provider_adfruns.emulator.scenario_past import read_cancel_words
from airflow_provider_adfruns.emulator.state import NEWEST, factory_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_adfruns.emulator.exchange import Request
    from airflow_provider_adfruns.emulator.held import HeldAnswers
    from airflow_provider_adfruns.emulator.identity import Gate
    from airflow_provider_adfruns.emulator.journal import JournalEntry
    from airflow_provider_adfruns.emulator.simulation import Simulation

PREFIX = "/_adf"
_PAGE, _LONGEST_PAGE = 100, 1000


class _RefusedError(Exception):
    """A control call that cannot be done."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class ControlCall:
    """One call of the control API.

    :param name: what stands at the path's ``*``.
    """

    name: str
    query: Mapping[str, str]
    content: bytes

    def body(self) -> Any:
        """Return the JSON sent; nothing is an empty object."""
        try:
            return json.loads(self.content) if self.content else {}
        except ValueError as error:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from None

    def words(self, *known: str) -> dict[str, Any]:
        """Return the JSON sent, an object that has no other than these keys."""
        body = self.body()
        if not isinstance(body, dict) or not body.keys() <= set(known):
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST, f"the body must be a JSON object of {', '.join(known)}, not {body!r}"
            )
        return body

    def number(self, key: str, default: int, most: int | None = None) -> int:
        """Return a whole number of the query string."""
        text = self.query.get(key, str(default))
        try:
            number = int(text)
        except ValueError:
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST, f"{key} must be a whole number, not {text!r}"
            ) from None
        if number < min(default, 0):
            raise _RefusedError(
                HTTPStatus.BAD_REQUEST, f"{key} must be {min(default, 0)} or more, not {number}"
            )
        return number if most is None else min(number, most)


class Control:
    """The control API of one emulator; `ROUTES` says what each call does.

    :param held: the answers that its server holds back.
    """

    def __init__(self, simulation: Simulation, gate: Gate, held: HeldAnswers) -> None:
        self._simulation = simulation
        self._gate = gate
        self._held = held

    def answer(self, request: Request) -> Answer:
        """Answer a control call."""
        segments = tuple(segment for segment in request.path.removeprefix(PREFIX).split("/") if segment)
        try:
            _refuse_other_sites(request)
            found = _find(request.method, segments)
            call = ControlCall(found.name_in(segments), request.query, request.content)
            with self._simulation.lock:
                self._simulation.catch_up()
                answer = found.handler(self, call)
            status = HTTPStatus.OK
        except _RefusedError as error:
            status, answer = error.status, {"error": {"code": error.status.phrase, "message": str(error)}}
        except ScenarioError as error:
            status, answer = HTTPStatus.BAD_REQUEST, {"error": {"code": "BadScenario", "message": str(error)}}
        except ValueError as error:
            status, answer = HTTPStatus.BAD_REQUEST, {"error": {"code": "Bad Request", "message": str(error)}}
        content = json.dumps(answer, indent=2, default=str).encode()
        return Answer(status, content, {"Content-Type": "application/json; charset=utf-8"})

    def index(self, _: ControlCall) -> Any:
        """List these calls."""
        return {
            "calls": [{"method": each.method, "path": each.shown, "does": each.summary} for each in ROUTES]
        }

    def state(self, call: ControlCall) -> Any:
        """Show triggers with their newest windows, newest pipeline runs, counts; `?windows=` and `?runs=`."""
        world = self._simulation.world
        return factory_state(
            world.factory, windows=call.number("windows", NEWEST), runs=call.number("runs", NEWEST)
        ) | {
            "clock": self._clock(),
            "beginnings": self._simulation.beginnings,
            "journal": len(world.journal),
            "faults": len(world.faults.written(world.factory.now)),
            "hanging": self._held.hanging,
        }

    def journal(self, call: ControlCall) -> Any:
        """Show calls in order; `?after=` a sequence number, `?limit=`, `?answers=false` leaves those out."""
        journal = self._simulation.world.journal
        first = call.number("after", -1) + 1
        entries = journal[first : first + call.number("limit", _PAGE, _LONGEST_PAGE)]
        with_answers = call.query.get("answers", "true") != "false"
        return {
            "beginnings": self._simulation.beginnings,
            "total": len(journal),
            "entries": [_entry(each, with_answers=with_answers) for each in entries],
        }

    def faults(self, _: ControlCall) -> Any:
        """List the faults that are still to come."""
        world = self._simulation.world
        return {"faults": world.faults.written(world.factory.now), "hanging": self._held.hanging}

    def add_faults(self, call: ControlCall) -> Any:
        """Add a fault, or a list of them; all or none."""
        world, body = self._simulation.world, call.body()
        faults = [read_fault(words) for words in (body if isinstance(body, list) else [body])]
        return {"added": [world.faults.add(fault, world.factory.now) for fault in faults]}

    def clear_faults(self, _: ControlCall) -> Any:
        """Take back every fault."""
        self._simulation.world.faults.clear()
        return {"faults": []}

    def remove_fault(self, call: ControlCall) -> Any:
        """Take back one fault by its number."""
        try:
            self._simulation.world.faults.remove(int(call.name))
        except (KeyError, ValueError):
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"there is no fault {call.name}") from None
        return {"removed": int(call.name)}

    def script_cancel(self, call: ControlCall) -> Any:
        """Say how the cancel of a pipeline run goes, in the words of a scenario's `cancel`."""
        script = read_cancel_words(call.body())
        self._simulation.factory.pipelines.cancels.script(call.name, script)
        return {"runId": call.name, "cancel": asdict(script)}

    def release(self, _: ControlCall) -> Any:
        """Let go of calls that hang or are delayed."""
        self._held.release()
        return {}

    def clock(self, _: ControlCall) -> Any:
        """Show the factory's time, and how the clock runs."""
        return self._clock()

    def move_clock(self, call: ControlCall) -> Any:
        """Move the clock by `{"advance": seconds}` or `{"to": time}`, or `{"set": real | manual | scale}`."""
        words = call.words("advance", "to", "set")
        match words if len(words) == 1 else None:
            case {"advance": int() | float() as seconds} if not isinstance(seconds, bool):
                self._simulation.advance(seconds)
            case {"to": str() as text}:
                instant = datetime.fromisoformat(text)
                self._simulation.advance_to(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
            case {"set": setting}:
                self._simulation.set_clock(setting)
            case _:
                message = f"one of advance (seconds), to (an ISO 8601 time), set; not {words!r}"
                raise _RefusedError(HTTPStatus.BAD_REQUEST, message)
        return self._clock()

    def snapshots(self, _: ControlCall) -> Any:
        """List the snapshots, each with the factory's time in it."""
        taken = self._simulation.snapshots()
        return {"snapshots": [{"name": name, "now": now.isoformat()} for name, now in taken.items()]}

    def take_snapshot(self, call: ControlCall) -> Any:
        """Keep everything as it is now: runs, clock, journal, faults."""
        self._simulation.snapshot(call.name)
        return {"snapshot": call.name, **self._clock()}

    def restore_snapshot(self, call: ControlCall) -> Any:
        """Bring back what was kept."""
        try:
            self._simulation.restore(call.name)
        except KeyError:
            raise self._no_snapshot(call.name) from None
        return self._clock()

    def forget_snapshot(self, call: ControlCall) -> Any:
        """Drop a snapshot."""
        try:
            self._simulation.forget(call.name)
        except KeyError:
            raise self._no_snapshot(call.name) from None
        return {"forgotten": call.name}

    def reset(self, _: ControlCall) -> Any:
        """Bring back the scenario's start, with an empty journal."""
        self._simulation.reset()
        return self._clock()

    def load(self, call: ControlCall) -> Any:
        """Begin another scenario, which is the body, as YAML; a bad one changes nothing."""
        text = call.content.decode(errors="replace")
        self._simulation.load(load_scenario(text if "\n" in text else text + "\n"))
        return self._clock()

    def revoke_tokens(self, call: ControlCall) -> Any:
        """Revoke the tokens given out so far; of one principal with `{"client_id": ...}`."""
        return {"revoked": self._gate.revoke(call.words("client_id").get("client_id"))}

    def _clock(self) -> dict[str, Any]:
        clock = self._simulation.clock
        return {"now": self._simulation.factory.now.isoformat(), "set": clock.setting, "scale": clock.scale}

    def _no_snapshot(self, name: str) -> _RefusedError:
        known = ", ".join(self._simulation.snapshots()) or "none"
        return _RefusedError(HTTPStatus.NOT_FOUND, f"there is no snapshot '{name}'; taken are: {known}")


@dataclass(frozen=True, slots=True)
class ControlRoute:
    """A call of the control API.

    :param path: its segments after the prefix; ``*`` stands for a name.
    """

    method: str
    path: tuple[str, ...]
    handler: Callable[[Control, ControlCall], Any]

    @property
    def shown(self) -> str:
        """The path as people read it."""
        return "/".join((PREFIX, *("{name}" if part == "*" else part for part in self.path)))

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return str(self.handler.__doc__)

    def fits(self, segments: tuple[str, ...]) -> bool:
        """Say whether a path is this one."""
        return len(segments) == len(self.path) and all(
            part in {"*", segment} for part, segment in zip(self.path, segments, strict=True)
        )

    def name_in(self, segments: tuple[str, ...]) -> str:
        """Return the name in a path that fits."""
        return next((name for part, name in zip(self.path, segments, strict=True) if part == "*"), "")


ROUTES = (
    ControlRoute("GET", (), Control.index),
    ControlRoute("GET", ("state",), Control.state),
    ControlRoute("GET", ("journal",), Control.journal),
    ControlRoute("GET", ("faults",), Control.faults),
    ControlRoute("POST", ("faults",), Control.add_faults),
    ControlRoute("DELETE", ("faults",), Control.clear_faults),
    ControlRoute("DELETE", ("faults", "*"), Control.remove_fault),
    ControlRoute("PUT", ("cancels", "*"), Control.script_cancel),
    ControlRoute("POST", ("release",), Control.release),
    ControlRoute("GET", ("clock",), Control.clock),
    ControlRoute("POST", ("clock",), Control.move_clock),
    ControlRoute("GET", ("snapshots",), Control.snapshots),
    ControlRoute("PUT", ("snapshots", "*"), Control.take_snapshot),
    ControlRoute("DELETE", ("snapshots", "*"), Control.forget_snapshot),
    ControlRoute("POST", ("snapshots", "*", "restore"), Control.restore_snapshot),
    ControlRoute("POST", ("reset",), Control.reset),
    ControlRoute("PUT", ("scenario",), Control.load),
    ControlRoute("POST", ("tokens", "revoke"), Control.revoke_tokens),
)


def _refuse_other_sites(request: Request) -> None:
    """Refuse what a page of another site sends from its reader's browser, which names the site in Origin."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        raise _RefusedError(HTTPStatus.FORBIDDEN, f"calls from {origin} are refused; this is {host}")


def _find(method: str, segments: tuple[str, ...]) -> ControlRoute:
    fitting = [each for each in ROUTES if each.fits(segments)]
    found = next((each for each in fitting if each.method == method), None)
    if found is not None:
        return found
    path = "/".join((PREFIX, *segments))
    if fitting:
        allowed = ", ".join(each.method for each in fitting)
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {allowed}, not {method}")
    raise _RefusedError(HTTPStatus.NOT_FOUND, f"there is no {path}; GET {PREFIX} lists what there is")


def _entry(entry: JournalEntry, *, with_answers: bool) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "operation": entry.operation,
        "method": entry.method,
        "path": entry.path,
        "query": entry.query,
        "body": entry.body,
        "status": entry.status,
        **({"answer": entry.answer} if with_answers else {}),
        "fault": entry.fault,
        "principal": entry.principal,
        "subject": entry.subject,
        "effect": entry.effect,
    }
