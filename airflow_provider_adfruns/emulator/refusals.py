"""The service's refusals, in its own words: one exception with status and body, and the known cases."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class Refusal(Exception):
    """A call is answered with an error.

    :param code: the error code of the body; None: the answer has no body.
    :param target: the ``target`` of a Data Factory error; ARM's own errors have none.
    :param headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str = "",
        *,
        target: str | None = None,
        arm: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.target = target
        self.arm = arm
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any] | None:
        """The JSON of the answer, or None."""
        if self.code is None:
            return None
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if not self.arm:
            error |= {"target": self.target, "details": None}
        return {"error": error}


def bad_request(message: str, target: str | None = None) -> Refusal:
    """Return Data Factory's own 400."""
    return Refusal(HTTPStatus.BAD_REQUEST, "BadRequest", message, target=target)


def pipeline_run_missing(run_id: str) -> Refusal:
    """Return the refusal to cancel, or refer to, a run that does not exist."""
    message = f"Referenced pipeline run id {run_id} does not exist."
    return Refusal(HTTPStatus.BAD_REQUEST, "ReferencedPipelineRunNotFound", message)


def pipeline_run_over(status: str) -> Refusal:
    """Return the refusal to cancel a run that has ended."""
    message = (
        f"Pipeline run has already completed with status '{status}'."
        "Only pipeline runs that are in progress or queued can be canceled."
    )
    return Refusal(HTTPStatus.BAD_REQUEST, "PipelineRunNotRunning", message)


def run_id_malformed(run_id: str, pipeline: str) -> Refusal:
    """Return the refusal of a referencePipelineRunId that is no run id."""
    message = f"Referenced pipeline run id {run_id} is not a valid run id."
    target = f"pipeline/{pipeline}/"
    return Refusal(HTTPStatus.BAD_REQUEST, "ReferencedPipelineRunNotValid", message, target=target)


def queue_full() -> Refusal:
    """Return the refusal of a run beyond the 100 a pipeline may have queued; its code is a guess."""
    return bad_request(
        "Pipeline execution throttled. If the concurrency value is set for a pipeline, a maximum of 100 runs"
        " will be queued for execution."
    )


def trigger_run_not_waiting(run_id: str, trigger: str) -> Refusal:
    """Return the refusal to cancel a trigger run that waits on no dependency."""
    return bad_request(f"Trigger run {run_id} is not in WaitingOnDependency state", trigger)


def wrong_trigger_type(trigger_type: str, trigger: str) -> Refusal:
    """Return the refusal to rerun a run of another than a tumbling window trigger."""
    return bad_request(f"Invalid trigger type: {trigger_type}", trigger)


def trigger_run_not_final(run_id: str, trigger: str, status: str) -> Refusal:
    """Return the refusal to rerun a run that has not ended; the wording is a guess."""
    return bad_request(f"Trigger run {run_id} is in {status} state and cannot be rerun", trigger)


def trigger_run_missing(run_id: str, trigger: str) -> Refusal:
    """Return the refusal to act on an unknown trigger run; a guess, after the one for pipeline runs."""
    return bad_request(f"Trigger run {run_id} does not exist", trigger)


def entity_missing(kind: str, name: str) -> Refusal:
    """Return the refusal of an unknown trigger or pipeline; a guess.

    :param kind: ``Trigger`` or ``Pipeline``.
    """
    message = f"The {kind.lower()} '{name}' was not found."
    return Refusal(HTTPStatus.NOT_FOUND, f"{kind}NotFound", message, target=name)


def no_such_run() -> Refusal:
    """Return the answer to a GET of an unknown pipeline run: 404 with an empty body."""
    return Refusal(HTTPStatus.NOT_FOUND, None)


def trigger_busy(trigger: str) -> Refusal:
    """Return the refusal of a start or stop beside another one; its status and code are a guess."""
    return bad_request("Concurrent operations on a trigger are not allowed.", trigger)


def pipeline_reference_missing(trigger: str) -> Refusal:
    """Return the refusal to start a trigger whose pipeline does not exist."""
    return bad_request(f"Missing or invalid pipeline references for trigger {trigger}", trigger)


def start_time_fixed(trigger: str) -> Refusal:
    """Return the refusal to give a tumbling window trigger another start; its status is a guess."""
    message = "Start time cannot be updated for Tumbling Window Trigger."
    code = "TumblingWindowTriggerStartTimeUpdateNotAllowed"
    return Refusal(HTTPStatus.BAD_REQUEST, code, message, target=trigger)


def trigger_started(trigger: str) -> Refusal:
    """Return the refusal to change or delete a trigger that is started; a guess."""
    message = "Cannot update enabled Trigger; trigger needs to be disabled first."
    return Refusal(HTTPStatus.BAD_REQUEST, "TriggerEnabledCannotUpdate", message, target=trigger)


def not_simulated(what: str) -> Refusal:
    """Return the loud answer to a definition that the service takes and the emulator cannot simulate."""
    message = f"The emulator does not simulate {what}. What it does is listed in docs/emulator.md."
    return Refusal(HTTPStatus.NOT_IMPLEMENTED, "NotServedByTheEmulator", message, arm=True)
