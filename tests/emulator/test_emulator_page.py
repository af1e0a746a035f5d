"""The page at ``/`` in a real browser: triggers, windows, runs, faults and the journal, written as text."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.emulator.control import Control
from airflow_provider_adfruns.emulator.exchange import Request

if TYPE_CHECKING:
    from airflow_provider_adfruns.emulator.exchange import Answer
    from tests.emulator.conftest import Door, Serve

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=1500",  # a second and a half of the page's own time: two looks at the factory
)
NIGHT: dict[str, Any] = {
    "pipelines": {
        "load": {"seconds": 60},
        "close": {"activities": [{"name": "Close", "pipeline": "load"}]},
    },
    "triggers": {
        "hourly": {
            "pipeline": "load",
            "windows": {
                "count": 6,
                "except": [
                    {"windows": 1, "status": "Failed"},
                    {"windows": 2, "runs": ["Failed", "Succeeded"]},
                    {"windows": 5, "status": "WaitingOnDependency", "stuck": True},
                ],
            },
        },
        "daily": {"type": "ScheduleTrigger", "pipeline": "close", "frequency": "Day", "state": "stopped"},
    },
    "runs": [{"pipeline": "close", "status": "InProgress", "id": "parent-run"}],
}


class Page(HTMLParser):
    """What stands on the page: each element with its attributes and its text."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[list[str]] = []
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        words: list[str] = []
        self.elements.append((tag, dict(attrs), words))
        if tag not in {"meta", "link", "br"}:
            self._open.append(words)

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for words in self._open:
            words.append(data)

    def text(self, element_id: str) -> str:
        """Return the text of the element with this id."""
        return next(
            "".join(words) for _, found, words in self.elements if found.get("id") == element_id
        ).strip()

    def cells(self) -> list[tuple[str | None, str | None]]:
        """Return class and label of every window on a strip."""
        found = [attributes for _, attributes, _ in self.elements if attributes.get("role") == "img"]
        return [(each["class"], each["aria-label"]) for each in found]


def seen(door: Door, *flags: str) -> Page:
    """Return what a browser makes of the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            str(CHROMIUM),
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            "--dump-dom",
            door.emulator.url,
        ]
        ran = subprocess.run(  # noqa: S603 - our own command
            command, capture_output=True, check=True, text=True, timeout=300
        )
    return Page(ran.stdout)


@in_browser
def test_the_page_shows_the_whole_factory(serve: Serve) -> None:
    door = serve(NIGHT)
    failed = door.only("hourly")[1]
    door.emulator.fail_next("TriggerRuns_Rerun", status=503)
    door.rerun(failed)
    assert door.rerun(failed).status_code == 200
    door.emulator.fail_next("Pipelines_CreateRun", status=429, count=2, retry_after=7)
    page = seen(door)

    assert page.text("name") == "night-adf"
    assert page.text("now") == "2026-03-01 06:40:00 UTC"
    assert page.text("pace") == "a clock moved by hand"
    assert page.cells() == [
        ("cell", "2026-03-01 00:00:00 to 2026-03-01 01:00:00, Succeeded"),
        ("cell again", "2026-03-01 01:00:00 to 2026-03-01 02:00:00, Waiting, 1 rerun"),
        ("cell again", "2026-03-01 02:00:00 to 2026-03-01 03:00:00, Succeeded, 1 rerun"),
        ("cell", "2026-03-01 03:00:00 to 2026-03-01 04:00:00, Succeeded"),
        ("cell", "2026-03-01 04:00:00 to 2026-03-01 05:00:00, Succeeded"),
        ("cell stuck", "2026-03-01 05:00:00 to 2026-03-01 06:00:00, WaitingOnDependency, stuck"),
    ]
    assert re.search(r"daily\s*stopped · schedule · runs close", page.text("triggers"))
    assert "InProgressclose" in page.text("runs")
    assert "└ load" in page.text("runs")
    assert "Pipelines_CreateRun status 429, retry_after 7 · 2 more" in page.text("faults")
    assert page.text("journal").count("TriggerRuns_Rerun") == 2
    assert "fault: status 503, not processed" in page.text("journal")
    assert page.text("trouble") == ""


@in_browser
def test_markup_in_a_name_is_shown_as_text(serve: Serve) -> None:
    name = "<img src=x onerror=document.title='broken'>"
    page = seen(serve({"pipelines": {name: {}}, "runs": [{"pipeline": name}]}))
    assert name in page.text("runs")
    assert not [tag for tag, _, _ in page.elements if tag == "img"]


@in_browser
def test_calls_made_while_the_page_is_open_appear_and_are_marked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Control.answer

    def answer_after_a_call(control: Control, request: Request) -> Answer:
        if request.path.endswith("/state"):  # each look of the page begins with it
            asked = Request("GET", door.base, {"api-version": "2018-06-01"}, {}, b"")
            door.emulator._service.answer(asked)
        return answer(control, request)

    monkeypatch.setattr(Control, "answer", answer_after_a_call)
    door = serve({"pipelines": {"load": {}}})
    page = seen(door, "--virtual-time-budget=6000")
    rows = [
        found.get("class") for tag, found, words in page.elements if tag == "tr" and "Factories_Get" in words
    ]
    assert rows.count("fresh") > 0
    assert rows.count(None) > 0
    assert rows[0] == "fresh"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/_adf/page/page.css", "text/css; charset=utf-8"),
        ("/_adf/page/page.js", "text/javascript; charset=utf-8"),
    ],
)
def test_the_page_comes_from_the_package_and_may_load_nothing_else(
    serve: Serve, path: str, media_type: str
) -> None:
    answer = serve({"pipelines": {"load": {}}}).client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"https?://", answer.text)


def test_looking_at_the_page_leaves_no_trace_in_the_journal(serve: Serve) -> None:
    door = serve({"pipelines": {"load": {}}})
    for path in ("/", "/_adf/state", "/_adf/faults", "/_adf/journal"):
        assert door.client.get(path).status_code == 200
    assert list(door.emulator.journal) == []
