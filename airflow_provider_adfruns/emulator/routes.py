"""The operations served, and which one a request is; paths know no case, as everywhere in ARM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PREFIX = (
    "subscriptions",
    "*",
    "resourcegroups",
    "*",
    "providers",
    "microsoft.datafactory",
    "factories",
    "*",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    :param path: the lower-cased segments after the factory's own; ``*`` stands for a name or an id.
    :param action: what a role must allow, after ``Microsoft.DataFactory/factories/``.
    :param writes: whether ARM counts it as a write; query POSTs are reads.
    """

    name: str
    method: str
    path: tuple[str, ...]
    action: str
    writes: bool = False


OPERATIONS = (
    Operation("Factories_Get", "GET", (), "read"),
    Operation("PipelineRuns_QueryByFactory", "POST", ("querypipelineruns",), "querypipelineruns/read"),
    Operation("PipelineRuns_Get", "GET", ("pipelineruns", "*"), "pipelineruns/read"),
    Operation(
        "PipelineRuns_Cancel", "POST", ("pipelineruns", "*", "cancel"), "pipelineruns/cancel/action", True
    ),
    Operation(
        "ActivityRuns_QueryByPipelineRun",
        "POST",
        ("pipelineruns", "*", "queryactivityruns"),
        "pipelineruns/queryactivityruns/read",
    ),
    Operation("TriggerRuns_QueryByFactory", "POST", ("querytriggerruns",), "querytriggerruns/read"),
    Operation(
        "TriggerRuns_Rerun",
        "POST",
        ("triggers", "*", "triggerruns", "*", "rerun"),
        "triggers/triggerruns/rerun/action",
        True,
    ),
    Operation(
        "TriggerRuns_Cancel",
        "POST",
        ("triggers", "*", "triggerruns", "*", "cancel"),
        "triggers/triggerruns/cancel/action",
        True,
    ),
    Operation(
        "Pipelines_CreateRun", "POST", ("pipelines", "*", "createrun"), "pipelines/createrun/action", True
    ),
    Operation("Pipelines_Get", "GET", ("pipelines", "*"), "pipelines/read"),
    Operation("Pipelines_CreateOrUpdate", "PUT", ("pipelines", "*"), "pipelines/write", True),
    Operation("Pipelines_Delete", "DELETE", ("pipelines", "*"), "pipelines/delete", True),
    Operation("Triggers_Get", "GET", ("triggers", "*"), "triggers/read"),
    Operation("Triggers_CreateOrUpdate", "PUT", ("triggers", "*"), "triggers/write", True),
    Operation("Triggers_Delete", "DELETE", ("triggers", "*"), "triggers/delete", True),
    Operation("Triggers_Start", "POST", ("triggers", "*", "start"), "triggers/start/action", True),
    Operation("Triggers_Stop", "POST", ("triggers", "*", "stop"), "triggers/stop/action", True),
    Operation("Triggers_ListByFactory", "GET", ("triggers",), "triggers/read"),
    Operation("Triggers_QueryByFactory", "POST", ("querytriggers",), "querytriggers/read"),
)
TOKEN = "Token"  # noqa: S105 - the name of an operation
OPERATION_NAMES = (*(operation.name for operation in OPERATIONS), TOKEN)
RUN_QUERIES = ("PipelineRuns_QueryByFactory", "ActivityRuns_QueryByPipelineRun", "TriggerRuns_QueryByFactory")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads.

    :param operation: None where the factory has no such operation here.
    :param names: what stands at the operation's ``*``.
    """

    subscription_id: str
    resource_group: str
    factory: str
    operation: Operation | None
    names: tuple[str, ...]

    @property
    def scope(self) -> str:
        """The ARM id of the factory, as the caller wrote it."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.DataFactory/factories/{self.factory}"
        )


def find_route(method: str, path: str) -> Route | None:
    """Return where a request leads, or None where its path is not that of a factory."""
    segments = [segment for segment in path.split("/") if segment]
    head, tail = segments[: len(_PREFIX)], segments[len(_PREFIX) :]
    if not _fits(head, _PREFIX):
        return None
    operation = next((each for each in OPERATIONS if each.method == method and _fits(tail, each.path)), None)
    names = (
        tuple(name for name, part in zip(tail, operation.path, strict=True) if part == "*")
        if operation
        else ()
    )
    return Route(head[1], head[3], head[7], operation, names)


def _fits(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(segments) == len(pattern) and all(
        part in {"*", segment.lower()} for segment, part in zip(segments, pattern, strict=True)
    )
