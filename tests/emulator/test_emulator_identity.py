"""Who may do what: permissions over plain http, and real sign-ins over https."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core import AsyncPipelineClient
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity import ClientSecretCredential as SyncCredential
from azure.identity.aio import ClientSecretCredential

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.emulator.conftest import Door, Serve

SCOPE = "https://management.azure.com/.default"
SCENARIO: dict[str, Any] = {
    "principals": [
        {"name": "operator", "client_id": "operator-id", "client_secret": "operator-secret"},
        {"name": "reader", "client_id": "reader-id", "permission": "read"},
        {"name": "stranger", "client_id": "stranger-id", "permission": "none"},
    ],
    "pipelines": {"load": {}},
}


@pytest.mark.parametrize(
    ("client_id", "get", "create"),
    [("operator-id", 200, 200), ("reader-id", 200, 403), ("stranger-id", 403, 403), ("nobody", 200, 200)],
)
def test_a_principal_may_do_what_its_permission_says(
    serve: Serve, client_id: str, get: int, create: int
) -> None:
    door = serve(SCENARIO)
    headers = {"authorization": f"Bearer loopback:{client_id}"}
    assert door.get(headers=headers).status_code == get
    assert door.post("/pipelines/load/createRun", {}, headers=headers).status_code == create


def test_a_refusal_names_the_client_the_action_and_the_scope(serve: Serve) -> None:
    door = serve(SCENARIO)
    answer = door.post(
        "/pipelines/load/createRun", {}, headers={"authorization": "Bearer loopback:reader-id"}
    )
    error = answer.json()["error"]
    assert error["code"] == "AuthorizationFailed"
    assert error["message"].startswith("The client 'reader-id' with object id '")
    assert "'Microsoft.DataFactory/factories/pipelines/createrun/action' over scope '" in error["message"]


def test_the_journal_names_the_principal(serve: Serve) -> None:
    door = serve(SCENARIO)
    door.get(headers={"authorization": "Bearer loopback:reader-id"})
    assert door.emulator.journal[-1].principal == "reader-id"


def credential(door: Door, **options: str) -> ClientSecretCredential:
    connection = door.emulator.connection()
    words = {
        "tenant_id": connection["extra"]["tenantId"],
        "client_id": connection["login"],
        "client_secret": connection["password"],
        **options,
    }
    return ClientSecretCredential(
        **words,
        authority=door.emulator.url,
        disable_instance_discovery=True,
        connection_verify=door.emulator.ca_file,
    )


def token(door: Door, **options: str) -> str:
    async def sign_in() -> str:
        async with credential(door, **options) as signing_in:
            return (await signing_in.get_token(SCOPE)).token

    return asyncio.run(sign_in())


def test_a_real_sign_in_opens_the_factory(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    assert door.get(headers={"authorization": f"Bearer {token(door)}"}).status_code == 200
    assert door.emulator.journal[-1].principal == "operator-id"


def test_the_other_sign_in_library_opens_it_too(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    connection = door.emulator.connection()
    with SyncCredential(
        connection["extra"]["tenantId"],
        connection["login"],
        connection["password"],
        authority=door.emulator.url,
        disable_instance_discovery=True,
        connection_verify=door.emulator.ca_file,
    ) as signing_in:
        found = signing_in.get_token(SCOPE).token
    assert door.get(headers={"authorization": f"Bearer {found}"}).status_code == 200


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({"client_secret": "wrong"}, "AADSTS7000215"),
        ({"client_id": "unknown"}, "AADSTS700016"),
        ({"tenant_id": "unknown"}, "AADSTS90002"),
    ],
)
def test_a_wrong_sign_in_fails_in_entras_words(serve: Serve, options: dict[str, str], number: str) -> None:
    door = serve(SCENARIO, tls=True)
    with pytest.raises(ClientAuthenticationError, match=number):
        token(door, **options)


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "AuthenticationFailed"), ({"authorization": "Bearer made-up"}, "InvalidAuthenticationToken")],
)
def test_a_call_without_a_good_token_is_challenged(serve: Serve, headers: dict[str, str], code: str) -> None:
    answer = serve(SCENARIO, tls=True).get(headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer authorization_uri=")


@contextlib.asynccontextmanager
async def bearer(door: Door) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Give a call that GETs the factory, through the bearer policy of every Azure client, for its status."""
    async with (
        credential(door) as signing_in,
        AsyncPipelineClient[HttpRequest, AsyncHttpResponse](
            door.emulator.url,
            policies=[AsyncBearerTokenCredentialPolicy(signing_in, SCOPE, enable_cae=True)],
            connection_verify=door.emulator.ca_file,
        ) as client,
    ):

        async def get() -> int:
            url = f"{door.emulator.url}{door.base}?api-version=2018-06-01"
            return (await client.send_request(HttpRequest("GET", url))).status_code

        yield get


def calls(door: Door) -> list[tuple[str, int | None]]:
    return [(entry.operation, entry.status) for entry in door.emulator.journal]


def test_a_token_is_used_while_it_is_good(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)

    async def call_twice() -> list[int]:
        async with bearer(door) as get:
            return [await get(), await get()]

    assert asyncio.run(call_twice()) == [200, 200]
    assert calls(door) == [("Token", 200), ("Factories_Get", 200), ("Factories_Get", 200)]


def test_an_expired_token_is_refreshed(serve: Serve) -> None:
    door = serve({**SCENARIO, "token_seconds": 1}, tls=True)

    async def call_until_there_is_another_token() -> set[int]:
        statuses = set()
        async with bearer(door) as get:
            while calls(door).count(("Token", 200)) < 2:
                statuses.add(await get())
        return statuses

    assert asyncio.run(call_until_there_is_another_token()) == {200}


def test_an_expired_token_is_refused(serve: Serve) -> None:
    door = serve({**SCENARIO, "token_seconds": 0}, tls=True)
    answer = door.get(headers={"authorization": f"Bearer {token(door)}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "ExpiredAuthenticationToken")


def test_a_token_ends_by_the_real_clock_for_so_its_holder_counts(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    found = token(door)
    door.emulator.advance(24 * 3600)
    assert door.get(headers={"authorization": f"Bearer {found}"}).status_code == 200


def test_a_revoked_token_leads_to_one_refresh(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)

    async def call_revoke_and_call() -> list[int]:
        async with bearer(door) as get:
            before = await get()
            door.emulator.revoke_tokens()
            return [before, await get()]

    assert asyncio.run(call_revoke_and_call()) == [200, 200]
    assert calls(door) == [
        ("Token", 200),
        ("Factories_Get", 200),
        ("Factories_Get", 401),
        ("Token", 200),
        ("Factories_Get", 200),
    ]


def test_a_fault_that_refuses_a_token_leads_to_one_refresh_too(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    door.emulator.fail_next("Factories_Get", refuse_token=True)

    async def call() -> int:
        async with bearer(door) as get:
            return await get()

    assert asyncio.run(call()) == 200
    assert [operation for operation, _ in calls(door)] == ["Token", "Factories_Get"] * 2


def test_tokens_of_one_principal_can_be_revoked_alone(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    found = {
        "operator-id": token(door),
        "reader-id": token(door, client_id="reader-id", client_secret="secret-of-reader"),
    }
    assert door.control("POST", "/tokens/revoke", {"client_id": "reader-id"}) == {"revoked": 1}
    statuses = {
        client_id: door.get(headers={"authorization": f"Bearer {each}"}).status_code
        for client_id, each in found.items()
    }
    assert statuses == {"operator-id": 200, "reader-id": 401}


def test_who_signed_in_may_still_have_no_permission(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    found = token(door, client_id="stranger-id", client_secret="secret-of-stranger")
    assert door.get(headers={"authorization": f"Bearer {found}"}).status_code == 403


def test_the_journal_keeps_no_secret(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    token(door)
    entry = door.emulator.journal[0]
    assert (entry.operation, entry.body, entry.answer) == ("Token", None, None)


def test_the_certificate_is_gone_with_the_emulator(serve: Serve) -> None:
    door = serve(SCENARIO, tls=True)
    ca_file = Path(door.emulator.ca_file or "")
    assert ca_file.exists()
    door.client.close()
    door.emulator.__exit__(None, None, None)
    assert not ca_file.exists()
