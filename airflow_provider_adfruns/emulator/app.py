"""The service as an ASGI application: requests in, answers out, and connections closed without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_adfruns.emulator.service import Request

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

    from starlette.requests import Request as HttpRequest
    from starlette.types import Receive, Scope, Send

    from airflow_provider_adfruns.emulator.connections import Connections
    from airflow_provider_adfruns.emulator.service import Service

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


class Hangup(Response):
    """No answer: the connection is closed.

    :param connections: the server's open connections.
    """

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection, and stay until the server has noticed, or it would answer with a 500."""
        del send
        self._connections.hang_up(scope["client"])
        message: MutableMapping[str, Any] = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()


def make_app(service: Service, connections: Connections) -> Starlette:
    """Return the application that serves one factory."""

    async def answer(request: HttpRequest) -> Response:
        answered = service.answer(
            Request(
                method=request.method,
                path=request.scope["path"],
                query=dict(request.query_params),
                headers=dict(request.headers),
                content=await request.body(),
            )
        )
        if answered.dropped:
            return Hangup(connections)
        return Response(answered.content, answered.status, answered.headers)

    return Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])
