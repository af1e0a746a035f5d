"""A request's way to its answer: who, where, may they, is there a fault, what happens; no sockets here."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.emulator import arm, identity
from airflow_provider_adfruns.emulator.exchange import Answer, Delivery
from airflow_provider_adfruns.emulator.journal import JournalEntry
from airflow_provider_adfruns.emulator.operations import Call, Operations
from airflow_provider_adfruns.emulator.records import Effect
from airflow_provider_adfruns.emulator.refusals import Refusal, bad_request
from airflow_provider_adfruns.emulator.routes import RUN_QUERIES, TOKEN, Operation, Route, find_route

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.definitions import Principal
    from airflow_provider_adfruns.emulator.engine import Factory
    from airflow_provider_adfruns.emulator.exchange import Request
    from airflow_provider_adfruns.emulator.faults import Fault, Pending
    from airflow_provider_adfruns.emulator.operations import Done
    from airflow_provider_adfruns.emulator.simulation import Simulation
    from airflow_provider_adfruns.emulator.throttling import Kind
    from airflow_provider_adfruns.emulator.wire import Generation
    from airflow_provider_adfruns.emulator.world import World


@dataclass(slots=True)
class _Story:
    """What became known of a request on its way.

    :param left: the bucket of ARM it takes from, and how many are left there; None: not counted.
    :param met: the fault that meets it, whether or not it comes to do something.
    :param fault: the fault that did something.
    """

    operation: str = ""
    principal: str = identity.ANONYMOUS
    body: Any = None
    left: tuple[str, int] | None = None
    met: Pending | None = None
    fault: Fault | None = None
    effect: Effect = field(default_factory=Effect)


class Service:
    """One factory behind its API.

    :param checks_tokens: whether callers must have signed in.
    """

    def __init__(self, simulation: Simulation, generation: Generation, *, checks_tokens: bool) -> None:
        self.simulation = simulation
        self.gate = identity.Gate(lambda: simulation.scenario, checks_tokens=checks_tokens)
        self.base_url = ""
        self._generation: Generation = generation
        self._operated = simulation.factory
        self._operations = Operations(simulation.factory, generation)

    @property
    def operations(self) -> Operations:
        """The operations on the factory there is now: another one after a new beginning."""
        if self._operated is not self._factory:
            self._operated = self._factory
            self._operations = Operations(self._factory, self._generation)
        return self._operations

    @property
    def _world(self) -> World:
        return self.simulation.world

    @property
    def _factory(self) -> Factory:
        return self.simulation.factory

    def answer(self, request: Request) -> Answer:
        """Answer a request and write it down."""
        with self.simulation.lock:
            self.simulation.catch_up()
            story = _Story()
            try:
                answer = self._answer(request, story)
            except Refusal as refusal:
                answer = self._refused(refusal)
            except identity.EntraRefusal as refusal:
                answer = self._sign_in_refused(request, refusal)
            answer = self._spoilt(answer, story)
            # What an action makes due at once, an activity of no length say, happens before anybody can look.
            self.simulation.catch_up()
            self._write_down(request, story, answer)
            return self._with_headers(request, story, answer)

    def _answer(self, request: Request, story: _Story) -> Answer:
        signing_in = self._sign_in(request, story)
        if signing_in is not None:
            return signing_in
        route = find_route(request.method, request.path)
        if route is None:
            raise _not_served(request)
        operation = route.operation
        story.operation = operation.name if operation else ""
        principal = self.gate.caller(request.headers, self._factory.now)
        story.principal = principal.client_id if principal else identity.ANONYMOUS
        query = {name.lower(): value for name, value in request.query.items()}
        identity_of_factory = self._factory.scenario.factory
        arm.check_version(query, identity_of_factory.location)
        if operation is None:
            raise _not_served(request)
        arm.check_subscription(route, identity_of_factory)
        self._throttle(principal, operation, story)
        identity.check_permission(principal, operation, route.scope)
        arm.check_factory(route, identity_of_factory)
        if self._throttles and operation.name in RUN_QUERIES:
            self._world.throttle.count_query(identity_of_factory.name, self._factory.now)
        story.body = _json(request.content)
        if not self._is_processed(operation.name, story):
            return Answer(0)
        call = Call(route.names, query, story.body, request.headers.get("x-ms-client-request-id"))
        return self._carry_out(route, operation, call, story)

    def _carry_out(self, route: Route, operation: Operation, call: Call, story: _Story) -> Answer:
        subject = next(iter(route.names[-1:]), None)
        story.effect = Effect(subject)
        fault = story.met.fault if story.met else None
        if fault is not None and fault.stale_seconds is not None:
            call = replace(call, staleness=timedelta(seconds=fault.stale_seconds))
        done = self.operations.carry_out(operation.name, call)
        if fault is not None and fault.lose is not None:
            done = self._with_loss(operation, call, done, story)
        story.effect = done.effect if done.effect.subject else Effect(subject, done.effect.changes)
        return Answer(done.status, self.operations.written(done.answer))

    def _with_loss(self, operation: Operation, call: Call, done: Done, story: _Story) -> Done:
        """Lose a page, or what follows it; where none follows the fault waits for another call."""
        token = done.answer.get("continuationToken")
        if token is None or story.met is None:
            story.met = None
            return done
        if story.met.fault.lose == "page":
            return self.operations.carry_out(
                operation.name, replace(call, body=call.body | {"continuationToken": token})
            )
        del done.answer["continuationToken"]
        return done

    def _sign_in(self, request: Request, story: _Story) -> Answer | None:
        """Answer what a sign-in library asks, or return None where this is something else."""
        segments = [segment for segment in request.path.split("/") if segment]
        match segments:
            case [tenant, "oauth2", "v2.0", "token"] if request.method == "POST":
                story.operation = TOKEN
                if not self._is_processed(TOKEN, story):
                    return Answer(0)
                token = self.gate.issue(tenant, request.content.decode(errors="replace"))
                return Answer(HTTPStatus.OK, json.dumps(token).encode())
            case [tenant, "v2.0", ".well-known", "openid-configuration"]:
                story.operation = TOKEN
                document = identity.openid_configuration(self.base_url, tenant)
                return Answer(HTTPStatus.OK, json.dumps(document).encode())
            case _:
                return None

    # Limits and faults

    @property
    def _throttles(self) -> bool:
        enabled = self._factory.scenario.throttling.enabled
        return enabled if enabled is not None else self.simulation.clock.setting != "manual"

    def _throttle(self, principal: Principal | None, operation: Operation, story: _Story) -> None:
        throttle, kind = self._world.throttle, _kind(operation)
        if self._throttles:
            subscription_id = self._factory.scenario.factory.subscription_id
            left = throttle.take(principal, kind, subscription_id=subscription_id, now=self._factory.now)
        else:
            left = throttle.untouched(kind)
        story.left = (kind, left)

    def _is_processed(self, operation: str, story: _Story) -> bool:
        """Say whether a call does its work: unless it meets a fault that keeps it from that."""
        story.met = self._world.faults.meet(operation, self._factory.now)
        return story.met is None or story.met.fault.is_processed

    def _spoilt(self, answer: Answer, story: _Story) -> Answer:
        """Return what becomes of an answer by the fault its call met."""
        if story.met is None:
            return answer
        fault = story.met.fault
        if (fault.lose or fault.stale_seconds) and answer.status != HTTPStatus.OK:
            return answer
        self._world.faults.use(story.met)
        story.fault = fault
        if fault.status is not None:
            answer = self._refused(fault.refusal())
        elif fault.refuse_token:
            answer = self._refused(self.gate.revoked(self._factory.now))
        elif fault.drop_connection:
            answer = Answer(0, delivery=Delivery.CLOSED if fault.processed else Delivery.RESET)
        elif fault.hang:
            answer = replace(answer, delivery=Delivery.HELD)
        elif fault.truncate:
            answer = replace(answer, delivery=Delivery.TRUNCATED if answer.content else Delivery.CLOSED)
        if fault.delay_seconds is not None:
            due = self._factory.now + timedelta(seconds=fault.delay_seconds)
            answer = replace(answer, not_before=due)
        return answer

    # Answers

    def _refused(self, refusal: Refusal) -> Answer:
        content = b"" if refusal.body is None else self.operations.written(refusal.body)
        return Answer(refusal.status, content, dict(refusal.headers))

    def _sign_in_refused(self, request: Request, refusal: identity.EntraRefusal) -> Answer:
        at = f"{self._factory.now:%Y-%m-%d %H:%M:%SZ}"
        made_up = str(uuid.uuid5(uuid.NAMESPACE_URL, request.path))
        body = refusal.body(request.headers.get("client-request-id", made_up), at)
        return Answer(refusal.status, json.dumps(body).encode())

    def _write_down(self, request: Request, story: _Story, answer: Answer) -> None:
        goes_back = answer.delivery in {Delivery.WHOLE, Delivery.TRUNCATED}
        self._world.journal.append(
            JournalEntry(
                sequence=len(self._world.journal),
                at=self._factory.now,
                operation=story.operation,
                method=request.method,
                path=request.path,
                query=dict(request.query),
                body=story.body,
                status=int(answer.status) if goes_back else None,
                content=b"" if story.operation == TOKEN or not goes_back else answer.content,
                fault=story.fault.name if story.fault else None,
                principal=story.principal,
                subject=story.effect.subject,
                effect=story.effect.changes,
            )
        )

    def _with_headers(self, request: Request, story: _Story, answer: Answer) -> Answer:
        number = len(self._world.journal)
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._factory.scenario.seed} request {number}"))
        headers = {
            "Date": format_datetime(self._factory.now.replace(microsecond=0), usegmt=True),
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", request_id),
        }
        if story.left is not None:
            kind, left = story.left
            headers[f"x-ms-ratelimit-remaining-subscription-{kind}"] = str(left)
        if answer.content:
            headers["Content-Type"] = "application/json; charset=utf-8"
        return replace(answer, headers=headers | answer.headers)


def _kind(operation: Operation) -> Kind:
    """Return the bucket of ARM that a call takes from."""
    if operation.method == "DELETE":
        return "deletes"
    return "writes" if operation.writes else "reads"


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
