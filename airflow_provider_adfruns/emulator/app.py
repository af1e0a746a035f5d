"""The service as an ASGI application: requests in, answers out, or connections closed without one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_adfruns.emulator.control import PREFIX
from airflow_provider_adfruns.emulator.exchange import Answer, Delivery, Request
from airflow_provider_adfruns.emulator.page import page_routes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from starlette.requests import Request as HttpRequest
    from starlette.types import Receive, Scope, Send

    from airflow_provider_adfruns.emulator.connections import Connections
    from airflow_provider_adfruns.emulator.control import Control
    from airflow_provider_adfruns.emulator.held import HeldAnswers
    from airflow_provider_adfruns.emulator.service import Service

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class FaultyResponse(Response):
    """An answer that comes late, in part, or not at all.

    :param answer: what goes back, and how.
    """

    def __init__(self, answer: Answer, held: HeldAnswers, connections: Connections) -> None:
        super().__init__(answer.content, answer.status or 200, answer.headers)
        self._answer = answer
        self._held = held
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is to be sent when it is time, unless the client is gone by then."""
        delivery = self._answer.delivery
        if self._answer.not_before is not None and not await _stays(
            receive, self._held.reached(self._answer.not_before)
        ):
            return
        if delivery is Delivery.HELD:
            if not await _stays(receive, self._held.released()):
                return
            delivery = Delivery.WHOLE if self._answer.status else Delivery.CLOSED
        if delivery is Delivery.WHOLE:
            await super().__call__(scope, receive, send)
            return
        if delivery is Delivery.TRUNCATED:
            half = self._answer.content[: len(self._answer.content) // 2]
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await send({"type": "http.response.body", "body": half, "more_body": True})
        if delivery is Delivery.RESET:
            self._connections.reset(scope["client"])
        else:
            self._connections.hang_up(scope["client"])
        # Stay until the server has noticed, or it would answer with a 500.
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stays(receive: Receive, waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for something, and say whether the client is still there then."""
    leaving = asyncio.ensure_future(_gone(receive))
    expected = asyncio.ensure_future(waiting)
    done, others = await asyncio.wait({leaving, expected}, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await other
    return leaving not in done


def make_app(service: Service, control: Control, held: HeldAnswers, connections: Connections) -> Starlette:
    """Return the application that serves one factory, and under a prefix of its own what controls it."""

    def answering(
        answer_to: Callable[[Request], Answer],
    ) -> Callable[[HttpRequest], Coroutine[Any, Any, Response]]:
        async def respond(request: HttpRequest) -> Response:
            answer = answer_to(
                Request(
                    method=request.method,
                    path=request.scope["path"],
                    query=dict(request.query_params),
                    headers=dict(request.headers),
                    content=await request.body(),
                )
            )
            if answer.delivery is Delivery.WHOLE and answer.not_before is None:
                return Response(answer.content, answer.status, answer.headers)
            return FaultyResponse(answer, held, connections)

        return respond

    return Starlette(
        routes=[
            *page_routes(),
            Route(PREFIX, answering(control.answer), methods=_METHODS),
            Route(PREFIX + "/{path:path}", answering(control.answer), methods=_METHODS),
            Route("/{path:path}", answering(service.answer), methods=_METHODS),
        ]
    )
