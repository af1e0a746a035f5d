"""A web server in a thread of its own, that starts and ends in milliseconds; what it serves is elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from uvicorn.server import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn import Config

    from airflow_provider_adfruns.emulator.connections import Connections

START_SECONDS = 30.0
GRACE_SECONDS = 0.5
KEEP_ALIVE_SECONDS = 240
"""How long an idle connection stays open: longer than clients keep one, for a request that meets the server's
closing it gets no answer, and of a write nobody knows then whether it was carried out."""

_LOOK_AGAIN_SECONDS = 0.002


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is a free one."""
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is: else answers take
    # 40 ms.
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


class _Server:
    """Serves one application in a loop of its own.

    Uvicorn's protocol speaks HTTP; its server is done without, for that tells everybody's log when it comes
    and goes, takes the process's signals, and looks for its end ten times a second only.
    """

    def __init__(self, config: Config, listener: socket.socket, connections: Connections) -> None:
        self._config = config
        self._listener = listener
        self._connections = connections
        self._state = ServerState()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self.ready = threading.Event()

    def run(self) -> None:
        """Serve until told to end."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._config.load()
        server = await self._loop.create_server(self._protocol, sock=self._listener, ssl=self._config.ssl)
        self.ready.set()
        await self._ending.wait()
        server.close()
        await self._finish()

    def _protocol(self) -> asyncio.Protocol:
        protocol = self._connections.protocol_class
        return protocol(config=self._config, server_state=self._state, app_state={}, _loop=self._loop)

    async def _finish(self) -> None:
        """Close what is open: at once where nothing is being answered, else within a moment."""
        for connection in list(self._state.connections):
            connection.shutdown()
        begun = time.monotonic()
        while self._state.connections or self._state.tasks:
            waited = time.monotonic() - begun
            if waited > GRACE_SECONDS:
                self._connections.abort()
            if waited > 2 * GRACE_SECONDS:
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def end(self) -> None:
        """Tell the server to end, from another thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ending.set)


@contextlib.contextmanager
def serving(config: Config, listener: socket.socket, connections: Connections) -> Iterator[None]:
    """Serve in a thread until the context is left.

    :raises RuntimeError: the server did not start.
    """
    server = _Server(config, listener, connections)
    thread = threading.Thread(target=server.run, name="adf-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(START_SECONDS):
            raise RuntimeError(f"the emulator did not start within {START_SECONDS:g} s")
        yield
    finally:
        server.end()
        thread.join()
