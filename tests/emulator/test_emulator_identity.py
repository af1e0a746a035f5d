"""Who may do what: permissions over plain http, and real sign-ins over https."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential as SyncCredential
from azure.identity.aio import ClientSecretCredential

if TYPE_CHECKING:
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
