"""Who calls, and what they may do: token endpoint, bearer check, ARM's refusals; nothing is done here."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from airflow_provider_adfruns.emulator.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from airflow_provider_adfruns.emulator.definitions import Principal, Scenario
    from airflow_provider_adfruns.emulator.routes import Operation

ANONYMOUS = "anonymous"
LOOPBACK = "loopback:"
_ENTRA_ERRORS = {90002: "invalid_request", 700016: "unauthorized_client", 7000215: "invalid_client"}


class EntraRefusal(Exception):
    """The token endpoint refuses.

    :param number: the AADSTS number.
    """

    def __init__(self, status: int, number: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.number = number
        self.message = message

    def body(self, correlation_id: str, at: str) -> dict[str, Any]:
        """Return the JSON Entra answers."""
        trace = str(uuid.uuid5(uuid.NAMESPACE_OID, correlation_id))
        return {
            "error": _ENTRA_ERRORS[self.number],
            "error_description": (
                f"AADSTS{self.number}: {self.message} Trace ID: {trace} "
                f"Correlation ID: {correlation_id} Timestamp: {at}"
            ),
            "error_codes": [self.number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation_id,
        }


@dataclass(slots=True)
class _Token:
    """A token that was given out.

    :param ends: when it expires, by the real monotonic clock.
    """

    client_id: str
    ends: float
    revoked: bool = False


class Gate:
    """Knows the principals of one factory and the tokens they were given.

    A token ends by the real clock, whatever the factory's clock shows: whoever holds it counts its seconds
    by the real clock, and would go on using it when a factory that was taken through a night called it over.

    :param scenario: tells what the factory was made from, which may change.
    :param checks_tokens: False: nobody must sign in, and ``Bearer loopback:<client id>`` says who calls.
    """

    def __init__(self, scenario: Callable[[], Scenario], *, checks_tokens: bool) -> None:
        self._scenario = scenario
        self._checks_tokens = checks_tokens
        self._tokens: dict[str, _Token] = {}

    def _principal(self, client_id: str) -> Principal | None:
        principals = self._scenario().principals
        return next((each for each in principals if each.client_id == client_id), None)

    def issue(self, tenant: str, form: str) -> dict[str, Any]:
        """Answer a client_credentials request.

        :param tenant: the tenant of the path.
        :param form: the URL-encoded body.
        :raises EntraRefusal: unknown tenant or client, or a wrong secret.
        """
        fields = {name: values[0] for name, values in parse_qs(form).items()}
        client_id = fields.get("client_id", "")
        scenario = self._scenario()
        if tenant.lower() != scenario.factory.tenant_id.lower():
            message = (
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and"
                f" are signing into"
                " the correct cloud."
            )
            raise EntraRefusal(HTTPStatus.BAD_REQUEST, 90002, message)
        principal = self._principal(client_id)
        if principal is None:
            message = (
                f"Application with identifier '{client_id}' was not found in the directory '{tenant}'."
                f" This can happen"
                " if the application has not been installed by the administrator of the tenant or"
                " consented to by any"
                " user in the tenant."
            )
            raise EntraRefusal(HTTPStatus.BAD_REQUEST, 700016, message)
        if fields.get("client_secret") != principal.client_secret:
            message = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the"
                " client secret"
                f" value, not the client secret ID, for a secret added to app '{client_id}'."
            )
            raise EntraRefusal(HTTPStatus.UNAUTHORIZED, 7000215, message)
        token = f"adf-emulator.{client_id}.{len(self._tokens)}"
        seconds = scenario.token_seconds
        self._tokens[token] = _Token(client_id, time.monotonic() + seconds)
        return {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": token,
        }

    def caller(self, headers: Mapping[str, str], now: datetime) -> Principal | None:
        """Return who calls; None is anybody, where tokens are not checked.

        :param now: the factory's time.
        :raises Refusal: 401, where tokens are checked and this one is missing, unknown, expired or revoked.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not self._checks_tokens:
            return self._principal(token.removeprefix(LOOPBACK)) if token.startswith(LOOPBACK) else None
        if scheme.lower() != "bearer" or not token:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise self._challenge("AuthenticationFailed", message, "")
        known = self._tokens.get(token)
        principal = self._principal(known.client_id) if known else None
        if known is None or principal is None:
            raise self._challenge(
                "InvalidAuthenticationToken", "The access token is invalid.", "invalid_token"
            )
        if known.revoked:
            raise self.revoked(now)
        if time.monotonic() >= known.ends:
            message = "The access token expiry UTC time is in the past."
            raise self._challenge("ExpiredAuthenticationToken", message, "invalid_token")
        return principal

    def revoke(self, client_id: str | None) -> int:
        """Revoke the tokens given out so far, of one principal or of all; return how many."""
        revoked = 0
        for token in self._tokens.values():
            if not token.revoked and client_id in {None, token.client_id}:
                token.revoked = True
                revoked += 1
        return revoked

    def revoked(self, now: datetime) -> Refusal:
        """Return the refusal of a revoked token, whose claims ask for one that is issued from ``now`` on.

        So does Entra's continuous access evaluation; a sign-in library passes the claims on to the token
        endpoint, and thereby past its own cache.
        """
        message = "The access token has been revoked."
        claims = {"access_token": {"nbf": {"essential": True, "value": str(int(now.timestamp()))}}}
        written = base64.b64encode(json.dumps(claims).encode()).decode()
        return self._challenge("InvalidAuthenticationToken", message, "insufficient_claims", claims=written)

    def _challenge(self, code: str, message: str, error: str, *, claims: str = "") -> Refusal:
        authority = f"https://login.windows.net/{self._scenario().factory.tenant_id}"
        challenge = f'Bearer authorization_uri="{authority}"'
        if error:
            challenge += f', error="{error}", error_description="{message}"'
        if claims:
            challenge += f', claims="{claims}"'
        headers = {"WWW-Authenticate": challenge}
        return Refusal(HTTPStatus.UNAUTHORIZED, code, message, arm=True, headers=headers)


def check_permission(principal: Principal | None, operation: Operation, scope: str) -> None:
    """Refuse what a principal may not do; who is nobody in particular may do everything.

    :param scope: the ARM id of what is acted on.
    :raises Refusal: 403 AuthorizationFailed.
    """
    if principal is None or principal.permission == "write":
        return
    if principal.permission == "read" and not operation.writes:
        return
    message = (
        f"The client '{principal.client_id}' with object id '{principal.object_id}' does not have"
        f" authorization to"
        f" perform action 'Microsoft.DataFactory/factories/{operation.action}' over scope '{scope}' or"
        f" the scope is"
        " invalid. If access was recently granted, please refresh your credentials."
    )
    raise Refusal(HTTPStatus.FORBIDDEN, "AuthorizationFailed", message, arm=True)


def openid_configuration(base_url: str, tenant: str) -> dict[str, Any]:
    """Return the document a sign-in library asks for before it asks for tokens."""
    authority = f"{base_url}/{tenant}"
    return {
        "token_endpoint": f"{authority}/oauth2/v2.0/token",
        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{authority}/oauth2/v2.0/devicecode",
        "issuer": f"{authority}/v2.0",
        "jwks_uri": f"{authority}/discovery/v2.0/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }
