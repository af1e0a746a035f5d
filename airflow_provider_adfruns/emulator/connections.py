"""The server's open connections, by the client's address, so that one can be closed out of turn."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

_NO_LINGERING = struct.pack("ii", 1, 0)


class Connections:
    """Open connections of one server.

    ``made`` counts all there have been, ``most`` those that were open at the same time.
    """

    def __init__(self) -> None:
        self.made = 0
        self.most = 0
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}
        self.protocol_class = self._make_protocol_class()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._transports)

    def reset(self, client: Sequence[Any]) -> None:
        """Reset the connection of a client: its next read fails."""
        transport = self._transports.get((client[0], client[1]))
        if transport is not None:
            # To linger for no time is to reset.
            connected = transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            transport.abort()

    def hang_up(self, client: Sequence[Any]) -> None:
        """Close the connection of a client, once what was written to it is sent."""
        transport = self._transports.get((client[0], client[1]))
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Close every connection at once."""
        for transport in list(self._transports.values()):
            transport.abort()

    def _make_protocol_class(self) -> type[H11Protocol]:
        transports, connections = self._transports, self

        class RecordedProtocol(H11Protocol):
            """HTTP over a connection that is on record."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                """Record the connection."""
                super().connection_made(transport)
                # Kept, for a closed https connection no longer knows whose it was.
                self._peer = transport.get_extra_info("peername")[:2]
                transports[self._peer] = transport
                connections.made += 1
                connections.most = max(connections.most, len(connections))

            def connection_lost(self, exc: Exception | None) -> None:
                """Strike the connection off."""
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return RecordedProtocol
