"""Where the live service itself departs from its published spec, and how we know; nothing is checked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Properties that answers carry and the spec does not name, with their schema.
PROPERTIES: Mapping[str, Mapping[str, Any]] = {
    "PipelineRun": {
        "id": {"type": "string", "pattern": "^/SUBSCRIPTIONS/[^a-z]*/pipelineruns/[^/]+$"},  # recorded
        "debugRunId": {"type": "null"},  # recorded
        "annotations": {"type": "array"},  # recorded, and in the spec's own examples
        "runDimension": {"type": "object"},  # recorded; the spec says runDimensions
        "pipelineReturnValue": {"type": "object"},  # recorded since 2022
    },
    "PipelineRunInvokedBy": {
        # documented in the current TypeSpec, not in the swagger of 2021
        "pipelineName": {"type": "string"},
        "pipelineRunId": {"type": "string"},
    },
    "PipelineResource": {"folder": {"type": "object"}},  # in a recorded request, beside the properties
    "TriggerRun": {"groupId": {"type": "string"}},  # recorded since 2020
    "ActivityRun": {
        # in the spec's own examples
        "retryAttempt": {"type": ["integer", "null"]},
        "userProperties": {"type": "object"},
    },
}

# Properties that answers hold as null, which the dialect of the spec cannot say.
NULLS: Mapping[str, set[str]] = {
    "PipelineRun": {"runEnd", "durationInMs"},  # a run that has not ended: facts on Canceling, spec examples
    "TriggerRun": {"message"},  # recorded
    "ActivityRun": {"activityRunEnd", "durationInMs"},  # as a pipeline run's
    "CloudErrorBody": {"target", "details"},  # recorded
}

# Words beyond a spec's enum; each enum is marked modelAsString, that is open.
WORDS: Mapping[tuple[str, str], set[str]] = {
    # recorded, or in a recorded error's text; Cancelled is what the docs call it
    ("TriggerRun", "status"): {"Waiting", "WaitingOnDependency", "Running", "Cancelled"},
}

# Bodies of answers for which the spec has no body: nothing until 2021, these since 2022 [recorded].
BODIES_WITHOUT_SCHEMA: Mapping[str, bytes] = {
    "PipelineRuns_Cancel": b'""',
    "TriggerRuns_Rerun": b'""',
    "TriggerRuns_Cancel": b'""',
    "Triggers_Start": b"{}",
    "Triggers_Stop": b"{}",
}

# Errors without the body that the spec says every error has [recorded].
ERRORS_WITHOUT_BODY = {("PipelineRuns_Get", 404)}

# Definitions that lie in files of the spec we do not have; whatever stands there is accepted.
NOT_AT_HAND = {"Pipeline"}
