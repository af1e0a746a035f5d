"""An answer may name where its next page is: nothing goes anywhere but to the ARM endpoint."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from airflow_provider_adfruns.adf.errors import AdfRunsError, UnexpectedAnswer
from airflow_provider_adfruns.adf.pause import moving
from airflow_provider_adfruns.adf.transport import is_at
from airflow_provider_adfruns.emulator import AdfEmulator
from tests.adf.fields import read
from tests.adf.playback import Playback, Played, playing
from tests.adf.talking import talk
from tests.conftest import connection_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_adfruns.adf.client import FactoryClient
    from airflow_provider_adfruns.adf.identity import FactoryConnection

    Work = Callable[[FactoryClient], Awaitable[Any]]

DAY: Any = {
    "last_updated_after": datetime(2026, 3, 1, tzinfo=UTC),
    "last_updated_before": datetime(2026, 3, 2, tzinfo=UTC),
}
EMPTY = '{"value": []}'
QUERIES: dict[str, Work] = {
    "pipeline runs": lambda client: client.query_pipeline_runs(**DAY),
    "trigger runs": lambda client: client.query_trigger_runs(**DAY),
    "activity runs": lambda client: client.query_activity_runs("r1", **DAY),
}


def list_triggers(client: FactoryClient) -> Awaitable[Any]:
    return client.list_triggers()


def page(**more: str) -> Played:
    return Played(json.dumps({"value": [], **more}))


def refusal(connection: FactoryConnection) -> str:
    with pytest.raises(AdfRunsError) as failed, moving(lambda _: None):
        talk(connection, list_triggers)
    assert isinstance(failed.value, UnexpectedAnswer)
    return str(failed.value)


def linking(asked: Playback, link: str) -> None:
    """Let the first page name another one; whoever asks for that gets an empty one."""
    asked.answers = [page(nextLink=link), page()]


@pytest.mark.parametrize(
    "link",
    [
        "{other}/steal?page=2",
        "{other}",
        "http://localhost:{port}/steal",
        "http://127.0.0.1/steal",
        "https://127.0.0.1:{port}/steal",
        "http://somebody:pa55@127.0.0.1:{port}/steal",
        "http://127.0.0.1:{port}@{other_place}/steal",
        "http://127.0.0.1:{port}.invalid/steal",
        "ftp://127.0.0.1:{port}/steal",
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for_and_the_place_is_named(link: str) -> None:
    with playing(Played(EMPTY)) as other, playing(page()) as asked:
        other_place = urlsplit(other.url).netloc
        link = link.format(other=other.url, other_place=other_place, port=urlsplit(asked.url).port)
        linking(asked, link)
        said = refusal(read(arm_endpoint=asked.url))
    scheme, _, rest = link.partition("://")
    assert f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}" in said
    assert asked.url in said
    assert "'adf'" in said
    assert "pa55" not in said
    assert other.asked == []
    assert len(asked.asked) == 1


@pytest.mark.parametrize("link", ["http://127.0.0.1:{port}", "{other}", "https://localhost:{port}"])
def test_a_token_reaches_neither_plain_http_nor_another_port_or_name(tmp_path: Path, link: str) -> None:
    authority, server = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    with (
        AdfEmulator({"pipelines": {"load": {}}}, clock="manual", tls=True) as signs_in,
        playing(Played(EMPTY), tls=server) as other,
        playing(page(), tls=server) as asked,
    ):
        trusted = tmp_path / "trusted.pem"
        emulators = connection_to(signs_in).ca_bundle
        assert emulators is not None
        trusted.write_bytes(Path(emulators).read_bytes() + authority.cert_pem.bytes())
        linking(asked, link.format(other=other.url, port=urlsplit(asked.url).port) + "/steal")
        refusal(connection_to(signs_in, arm_endpoint=asked.url, ca_bundle=str(trusted)))
    assert [each.headers["Authorization"].partition(" ")[0] for each in asked.asked] == ["Bearer"]
    assert other.asked == []


@pytest.mark.parametrize("link", ["{url}/next?page=2", "/next?page=2", "next?page=2"])
def test_a_next_page_of_the_endpoint_is_asked_for(link: str) -> None:
    with playing(page()) as asked:
        linking(asked, link.format(url=asked.url))
        assert talk(read(arm_endpoint=asked.url), list_triggers) == []
    assert [each.path.partition("?")[0] for each in asked.asked][1:] == ["/next"]


@pytest.mark.parametrize("kind", QUERIES)
def test_a_query_follows_no_link_and_its_continuation_token_is_no_address(kind: str) -> None:
    with playing(Played(EMPTY)) as other, playing(page()) as asked:
        asked.answers = [page(nextLink=other.url, continuationToken=other.url), page(nextLink=other.url)]
        talk(read(arm_endpoint=asked.url), QUERIES[kind])
    assert len(asked.asked) == 2
    assert other.asked == []


ARM = "https://management.azure.com"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (ARM, f"{ARM}/subscriptions/s?api-version=1"),
        (ARM, ARM),
        (ARM, f"{ARM}?page=2"),
        (ARM, f"{ARM}:443/subscriptions"),
        (ARM, "HTTPS://Management.Azure.com/subscriptions"),
        (f"{ARM}:443", f"{ARM}/subscriptions"),
        (f"{ARM}:8443", f"{ARM}:8443/subscriptions"),
        ("http://[::1]:5000", "http://[::1]:5000/subscriptions"),
    ],
)
def test_the_same_place_may_be_written_in_several_ways(endpoint: str, url: str) -> None:
    assert is_at(endpoint, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://management.azure.com/",
        "http://management.azure.com:443/",
        f"{ARM}:80/",
        f"{ARM}:8443/",
        f"{ARM}.evil.example/",
        f"{ARM}@evil.example/",
        f"{ARM}:443@evil.example/",
        f"{ARM}\\@evil.example/",
        f"{ARM}\t.evil.example/",
        f" {ARM}/",
        "https://evil.example/management.azure.com/",
        "https://evil.example?https://management.azure.com/",
        "https:/management.azure.com/",
        "//management.azure.com/",
        "management.azure.com/",
        "",
    ],
)
def test_whatever_is_not_surely_the_same_place_is_another(url: str) -> None:
    assert not is_at(ARM, url)
