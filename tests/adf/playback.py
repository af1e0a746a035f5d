"""A server that answers what it is told, byte by byte, for what the local factory would never say."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Played:
    """An answer; ``missing`` bytes are announced and never sent."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]


class Playback:
    """Gives the answers in their order, the last one again and again, and keeps what was asked."""

    def __init__(self, *answers: Played) -> None:
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.url = ""

    def next(self) -> Played:
        """Take the next answer."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def playing(*answers: Played, tls: ssl.SSLContext | None = None) -> Iterator[Playback]:
    """Serve answers on this machine, over http unless there is a certificate."""
    playback = Playback(*answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            playback.asked.append(Asked(self.command, self.path, dict(self.headers)))
            played = playback.next()
            content = played.body.encode()
            self.send_response_only(played.status)
            for name, value in {"Date": "Sun, 01 Mar 2026 06:40:00 GMT", **played.headers}.items():
                self.send_header(name, value)
            if content:
                self.send_header("Content-Type", played.content_type)
            self.send_header("Content-Length", str(len(content) + played.missing))
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = bool(played.missing)

        do_GET = do_POST = answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    playback.url = f"http://127.0.0.1:{server.server_port}"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        playback.url = playback.url.replace("http", "https", 1)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield playback
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
