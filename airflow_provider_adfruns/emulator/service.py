"""A request's way to its answer: who, where, may they, is there a fault, what happens; no sockets here."""

from __future__ import annotations

import json
import threading
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator import identity
from airflow_provider_adfruns.emulator.clock import ManualClock
from airflow_provider_adfruns.emulator.engine import Factory
from airflow_provider_adfruns.emulator.faults import Fault, FaultScript
from airflow_provider_adfruns.emulator.journal import JournalEntry
from airflow_provider_adfruns.emulator.operations import Call, Operations
from airflow_provider_adfruns.emulator.records import Effect
from airflow_provider_adfruns.emulator.refusals import Refusal, bad_request
from airflow_provider_adfruns.emulator.routes import TOKEN, Operation, Route, find_route
from airflow_provider_adfruns.emulator.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.emulator.clock import Clock
    from airflow_provider_adfruns.emulator.definitions import Principal, Scenario
    from airflow_provider_adfruns.emulator.wire import Generation

API_VERSION = "2018-06-01"
READS_LEFT = {"2022": 249, "2021": 11_999}
WRITES_LEFT = {"2022": 199, "2021": 1_199}
DELETES_LEFT = {"2022": 199, "2021": 14_999}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in, header names in lower story."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; with ``dropped`` nothing does."""

    status: int
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    dropped: bool = False


@dataclass(slots=True)
class _Story:
    """What became known of a request on its way."""

    operation: str = ""
    writes: bool = False
    principal: str = identity.ANONYMOUS
    body: Any = None
    fault: Fault | None = None
    effect: Effect = field(default_factory=Effect)


class Service:
    """One factory behind its API; every use of it is under one lock.

    :param checks_tokens: whether callers must have signed in.
    """

    def __init__(
        self, scenario: Scenario, clock: Clock, generation: Generation, *, checks_tokens: bool
    ) -> None:
        self.scenario = scenario
        self.factory = Factory(scenario)
        self.operations = Operations(self.factory, generation)
        self.truth = Truth(self.factory)
        self.faults = FaultScript()
        self.lock = threading.RLock()
        self.base_url = ""
        self._clock = clock
        self._generation = generation
        self._gate = identity.Gate(scenario.factory, scenario.principals, checks_tokens=checks_tokens)
        self._journal: list[JournalEntry] = []

    def advance(self, seconds: float) -> None:
        """Move a manual clock, and let happen what falls due."""
        with self.lock:
            if not isinstance(self._clock, ManualClock):
                raise TypeError("only a manual clock can be advanced; this one runs by itself")
            self._clock.advance(seconds)
            self.catch_up()

    def catch_up(self) -> None:
        """Let happen what is due by the clock."""
        self.factory.advance_to(self._clock.now())

    def journal(self) -> tuple[JournalEntry, ...]:
        """Return what was called so far."""
        with self.lock:
            return tuple(self._journal)

    def answer(self, request: Request) -> Answer:
        """Answer a request and write it down."""
        with self.lock:
            self.catch_up()
            story = _Story()
            try:
                answer = self._answer(request, story)
            except Refusal as refusal:
                answer = self._refused(refusal)
            except identity.EntraRefusal as refusal:
                at = f"{self.factory.now:%Y-%m-%d %H:%M:%SZ}"
                correlation = request.headers.get(
                    "client-request-id", str(uuid.uuid5(uuid.NAMESPACE_URL, request.path))
                )
                answer = Answer(refusal.status, json.dumps(refusal.body(correlation, at)).encode())
            if story.fault is not None:
                answer = (
                    Answer(0, dropped=True)
                    if story.fault.drop_connection
                    else self._refused(story.fault.refusal())
                )
            # What an action makes due at once, an activity of no length say, happens before anybody can look.
            self.catch_up()
            self._write_down(request, story, answer)
            return self._with_headers(request, story, answer)

    def _answer(self, request: Request, story: _Story) -> Answer:
        signing_in = self._sign_in(request, story)
        if signing_in is not None:
            return signing_in
        route = find_route(request.method, request.path)
        if route is None:
            raise _not_served(request)
        story.operation = route.operation.name if route.operation else ""
        story.writes = bool(route.operation and route.operation.writes)
        principal = self._gate.caller(request.headers)
        story.principal = principal.client_id if principal else identity.ANONYMOUS
        query = {name.lower(): value for name, value in request.query.items()}
        self._check_version(query)
        if route.operation is None:
            raise _not_served(request)
        self._check_scope(route, principal, route.operation)
        story.body = _json(request.content)
        story.fault = self.faults.next_for(route.operation.name)
        if story.fault is not None and not story.fault.processed:
            return Answer(0)
        call = Call(route.names, query, story.body, request.headers.get("x-ms-client-request-id"))
        story.effect = Effect(next(iter(route.names[-1:]), None))
        done = self.operations.carry_out(route.operation.name, call)
        story.effect = (
            done.effect if done.effect.subject else Effect(story.effect.subject, done.effect.changes)
        )
        return Answer(done.status, self.operations.written(done.answer))

    def _sign_in(self, request: Request, story: _Story) -> Answer | None:
        """Answer what a sign-in library asks, or return None where this is something else."""
        segments = [segment for segment in request.path.split("/") if segment]
        match segments:
            case [tenant, "oauth2", "v2.0", "token"] if request.method == "POST":
                story.operation = TOKEN
                story.fault = self.faults.next_for(TOKEN)
                if story.fault is not None and not story.fault.processed:
                    return Answer(0)
                token = self._gate.issue(tenant, request.content.decode(errors="replace"))
                return Answer(HTTPStatus.OK, json.dumps(token).encode())
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                story.operation = TOKEN
                document = identity.openid_configuration(self.base_url, tenant)
                return Answer(HTTPStatus.OK, json.dumps(document).encode())
            case _:
                return None

    def _check_version(self, query: Mapping[str, str]) -> None:
        version = query.get("api-version")
        if not version:
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise Refusal(HTTPStatus.BAD_REQUEST, "MissingApiVersionParameter", message, arm=True)
        if version != API_VERSION:
            location = self.scenario.factory.location
            message = (
                f"No registered resource provider found for location '{location}' and API version"
                f" '{version}' for type"
                f" 'factories'. The supported api-versions are '2017-09-01-preview, {API_VERSION}'. The"
                f" supported"
                f" locations are '{location}'."
            )
            raise Refusal(HTTPStatus.BAD_REQUEST, "NoRegisteredProviderFound", message, arm=True)

    def _check_scope(self, route: Route, principal: Principal | None, operation: Operation) -> None:
        """Refuse as ARM does: an unknown subscription first, then who may not, then what is not there."""
        factory = self.scenario.factory
        if route.subscription_id.lower() != factory.subscription_id.lower():
            message = f"The subscription '{route.subscription_id}' could not be found."
            raise Refusal(HTTPStatus.NOT_FOUND, "SubscriptionNotFound", message, arm=True)
        scope = (
            f"/subscriptions/{route.subscription_id}/resourceGroups/{route.resource_group}"
            f"/providers/Microsoft.DataFactory/factories/{route.factory}"
        )
        identity.check_permission(principal, operation, scope)
        if route.resource_group.lower() != factory.resource_group.lower():
            message = f"Resource group '{route.resource_group}' could not be found."
            raise Refusal(HTTPStatus.NOT_FOUND, "ResourceGroupNotFound", message, arm=True)
        if route.factory.lower() != factory.name.lower():
            message = (
                f"The Resource 'Microsoft.DataFactory/factories/{route.factory}' under resource group"
                f" '{route.resource_group}' was not found. For more details please go to"
                " https://aka.ms/ARMResourceNotFoundFix"
            )
            raise Refusal(HTTPStatus.NOT_FOUND, "ResourceNotFound", message, arm=True)

    def _refused(self, refusal: Refusal) -> Answer:
        content = b"" if refusal.body is None else self.operations.written(refusal.body)
        return Answer(refusal.status, content, dict(refusal.headers))

    def _write_down(self, request: Request, story: _Story, answer: Answer) -> None:
        secret = story.operation == TOKEN
        entry = JournalEntry(
            sequence=len(self._journal),
            at=self.factory.now,
            operation=story.operation,
            method=request.method,
            path=request.path,
            query=dict(request.query),
            body=story.body,
            status=None if answer.dropped else int(answer.status),
            content=b"" if secret else answer.content,
            fault=story.fault.name if story.fault else None,
            principal=story.principal,
            subject=story.effect.subject,
            effect=story.effect.changes,
        )
        self._journal.append(entry)

    def _with_headers(self, request: Request, story: _Story, answer: Answer) -> Answer:
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.scenario.seed} request {len(self._journal)}"))
        headers = {
            "Date": format_datetime(
                self.factory.now - timedelta(microseconds=self.factory.now.microsecond), usegmt=True
            ),
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", request_id),
        }
        if story.operation and story.operation != TOKEN:
            kind, left = ("writes", WRITES_LEFT) if story.writes else ("reads", READS_LEFT)
            if request.method == "DELETE":
                kind, left = "deletes", DELETES_LEFT
            headers[f"x-ms-ratelimit-remaining-subscription-{kind}"] = str(left[self._generation])
        if answer.content:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return Answer(answer.status, answer.content, headers | answer.headers, answer.dropped)


def _json(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        raise bad_request("The request body is not valid JSON.") from None


def _not_served(request: Request) -> Refusal:
    message = (
        f"The emulator does not serve {request.method} {request.path}. What it serves, and why, is listed in"
        " docs/emulator.md."
    )
    return Refusal(HTTPStatus.NOT_IMPLEMENTED, "NotServedByTheEmulator", message, arm=True)
