"""The page at ``/``: its files as they lie in the package; what they show they ask the control API for."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_adfruns.emulator.control import PREFIX

if TYPE_CHECKING:
    from starlette.requests import Request

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    f"{PREFIX}/page/page.css": ("page.css", "text/css; charset=utf-8"),
    f"{PREFIX}/page/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
# The page may load its own files and ask its own server; names in a scenario can bring in nothing else.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def page_routes() -> list[Route]:
    """Return the routes of the page; they come before the control API's and the factory's own."""
    return [Route(path, _serve, methods=["GET"]) for path in _FILES]


async def _serve(request: Request) -> Response:
    name, media_type = _FILES[request.scope["path"]]
    content = resources.files(__package__).joinpath("assets", name).read_bytes()
    return Response(content, headers=_HEADERS, media_type=media_type)
