"""A failed request -> the error that tells the user what happened and what to do; nothing is sent here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError

from airflow_provider_adfruns.adf.errors import (
    AdfRunsError,
    AuthenticationFailed,
    FactoryNotFound,
    NotFound,
    NotWaitingOnDependency,
    OutcomeUnknown,
    PermissionDenied,
    PipelineRunEnded,
    PipelineRunNotFound,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
    WrongTriggerType,
)
from airflow_provider_adfruns.adf.transport import Verdict, judge_answer, judge_error

if TYPE_CHECKING:
    from airflow_provider_adfruns.adf.identity import FactoryConnection

_ENTRA_ADVICE = {
    "AADSTS7000215": (
        "The client secret is wrong: put the secret's value (not its id) into the connection's password."
    ),
    "AADSTS7000222": (
        "The client secret has expired: make a new one and put it into the connection's password."
    ),
    "AADSTS700016": "The client id is unknown in this tenant: check the connection's login and tenantId.",
    "AADSTS90002": "The tenant does not exist in this cloud: check the connection's tenantId and cloud.",
}


def translate(
    error: AzureError,
    *,
    action: str,
    connection: FactoryConnection,
    write: bool,
    not_found: type[NotFound],
) -> AdfRunsError:
    """Turn a failure of the SDK into one of this package's errors.

    :param error: what the SDK raised, after every permitted repetition.
    :param action: what was attempted on what, to begin the message with.
    :param connection: for naming where; its secret never appears.
    :param write: whether the request could change the factory.
    :param not_found: the error for a 404 that speaks of the thing itself, not of the factory.
    """
    if isinstance(error, ClientAuthenticationError):
        return _authentication(error, action, connection)
    if not isinstance(error, HttpResponseError) or isinstance(error, DecodeError) or error.response is None:
        return _no_answer(error, action, connection, write=write)
    status = error.response.status_code or 0
    code, message = _error_of(error.response)
    said = f"HTTP {status} {code}: {message}".rstrip(": ") if code or message else f"HTTP {status}"
    specific = _specific(status, code, message, action, connection, not_found)
    if specific is not None:
        return specific
    is_ambiguous = judge_answer(status) is Verdict.AMBIGUOUS
    is_success = 200 <= status < 300  # noqa: PLR2004 - another than the service's own, which is 200
    if write and (is_ambiguous or is_success):
        return unknown(action, said)
    if is_ambiguous:
        return Unreachable(
            f"{action}: the service kept answering {said}. Nothing was changed; try again later."
        )
    return UnexpectedAnswer(f"{action}: {said}")


def _specific(  # noqa: PLR0911 - a table of the refusals known, one line of code each
    status: int,
    code: str,
    message: str,
    action: str,
    connection: FactoryConnection,
    not_found: type[NotFound],
) -> AdfRunsError | None:
    """Recognise the refusals that the service is known to give."""
    if status == 403:  # noqa: PLR2004
        return PermissionDenied(
            f"{action}: {connection.describe()} has no permission. {message} Grant it a role on "
            f"{connection.address} that includes the action named (Data Factory Contributor does)."
        )
    if status == 429:  # noqa: PLR2004
        return Throttled(
            f"{action}: still throttled ({code}) when the time budget was spent; it was not done. {message}"
        )
    if code == "ReferencedPipelineRunNotFound":
        return PipelineRunNotFound(
            f"{action}: {connection.address} has no such pipeline run. {message} Check the id and the"
            " factory."
        )
    if code == "PipelineRunNotRunning":
        return PipelineRunEnded(f"{action}: {message}")
    if "is not in WaitingOnDependency state" in message:
        return NotWaitingOnDependency(f"{action}: {message}")
    if "Invalid trigger type" in message:
        return WrongTriggerType(f"{action}: {message} Only runs of tumbling window triggers can be rerun.")
    if status == 404:  # noqa: PLR2004
        about_factory = code in {"SubscriptionNotFound", "ResourceGroupNotFound"} or (
            code == "ResourceNotFound" and "/triggers/" not in message and "/pipelines/" not in message
        )
        if about_factory:
            return FactoryNotFound(
                f"{action}: {connection.address} was not found in subscription"
                f" {connection.address.subscription_id}. {message} Check resource_group_name, factory_name"
                f" and subscriptionId of connection {connection.conn_id!r} and of the task."
            )
        return not_found(
            f"{action}: {connection.address} does not have it. {message}".rstrip() + " Check the name or id."
        )
    return None


def _authentication(
    error: ClientAuthenticationError, action: str, connection: FactoryConnection
) -> AuthenticationFailed:
    said = str(error.message).strip().splitlines()[0] if error.message else "the service refused the token"
    if connection.client_secret:
        said = said.replace(connection.client_secret, "***")
    advice = next(
        (text for code, text in _ENTRA_ADVICE.items() if code in said),
        "Check the connection's credentials, tenant and cloud.",
    )
    return AuthenticationFailed(f"{action}: {connection.describe()} could not sign in. {advice} ({said})")


def _no_answer(error: AzureError, action: str, connection: FactoryConnection, *, write: bool) -> AdfRunsError:
    said = str(error.message).strip() or type(error).__name__
    if write and judge_error(error) is not Verdict.NEVER_SENT:
        return unknown(action, said)
    return Unreachable(
        f"{action}: {connection.arm_endpoint} gave no answer ({said}). Nothing was changed. Check the"
        f" network, the proxy and the cloud of connection {connection.conn_id!r}."
    )


def unknown(action: str, said: str) -> OutcomeUnknown:
    """Return the error for a write that was sent and whose answer tells nothing.

    :param action: what was attempted on what.
    :param said: what came back, or why nothing did.
    """
    return OutcomeUnknown(
        f"{action}: it was sent and the answer is unclear ({said}), so it may have been carried out. "
        "It was not sent again. Look at the run in ADF Studio before you repeat it."
    )


def _error_of(response: Any) -> tuple[str, str]:
    """Return the code and message of an ARM or ADF error body, both "" where there is none."""
    try:
        body = json.loads(response.text())
    except ValueError:
        return "", ""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or ""), str(error.get("message") or "").strip()
