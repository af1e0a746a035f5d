"""Every error of the package, one small tree; who raises which lives with the raiser.

::

    AdfRunsError
    ├── InvalidInput              a parameter is wrong; nothing was sent, or nothing was changed
    │                         (also a ValueError)
    ├── ConnectionProblem         the factory cannot be talked to
    │   ├── AuthenticationFailed      no token, or the token was refused
    │   ├── PermissionDenied          the principal lacks a permission
    │   ├── Unreachable               no answer within the time budget for reads, or never connected
    │   └── Throttled                 still 429 after the time budget
    ├── NotFound
    │   ├── FactoryNotFound           subscription, resource group or factory
    │   ├── TriggerNotFound
    │   ├── PipelineNotFound
    │   ├── PipelineRunNotFound
    │   └── TriggerRunNotFound
    ├── WrongState                the service refused, since the thing is not in the state required
    │   ├── PipelineRunEnded          cancel of a run that is final
    │   ├── NotWaitingOnDependency    cancel of a trigger run in another state
    │   └── WrongTriggerType          rerun of a run whose trigger is no tumbling window trigger
    ├── OutcomeUnknown            a write was sent and its answer lost: it may have been carried out
    ├── UnexpectedAnswer          the service answered something this package does not understand
    ├── WaitTimedOut              the wait reached its deadline; the runs were left alone
    └── RunsNotAsWanted           the work was done and its outcome is not what the task asked for

    WritesStopped             the task was killed, or another try is at work; no AdfRunsError, so that nothing
                              takes it for the fate of one run and goes on with the others
"""

from __future__ import annotations


class AdfRunsError(Exception):
    """Anything that this package raises on purpose."""


class InvalidInput(AdfRunsError, ValueError):
    """A parameter is wrong; the message names it, what was expected and what to do."""


class ConnectionProblem(AdfRunsError):
    """The factory cannot be talked to; nothing was changed."""


class AuthenticationFailed(ConnectionProblem):
    """No token could be had, or the service refused it."""


class PermissionDenied(ConnectionProblem):
    """The principal lacks a permission."""


class Unreachable(ConnectionProblem):
    """The service gave no usable answer within the time budget, or could not be connected to."""


class Throttled(ConnectionProblem):
    """The service still answered 429 when the time budget was spent; the request was not carried out."""


class NotFound(AdfRunsError):
    """The thing does not exist, or is older than the factory's history."""


class FactoryNotFound(NotFound):
    """The subscription, resource group or factory does not exist, or is not visible to the principal."""


class TriggerNotFound(NotFound):
    """The factory has no published trigger of that name."""


class PipelineNotFound(NotFound):
    """The factory has no published pipeline of that name."""


class PipelineRunNotFound(NotFound):
    """The factory has no pipeline run of that id."""


class TriggerRunNotFound(NotFound):
    """The trigger has no run of that id."""


class WrongState(AdfRunsError):
    """The service refused the action, since the thing is not in the state it requires."""


class PipelineRunEnded(WrongState):
    """The pipeline run has ended already, so there is nothing to cancel."""


class NotWaitingOnDependency(WrongState):
    """The trigger run is not WaitingOnDependency, the only state in which it can be cancelled."""


class WrongTriggerType(WrongState):
    """Only runs of tumbling window triggers have windows and can be rerun."""


class OutcomeUnknown(AdfRunsError):
    """A write was sent and no clear answer came back: it may or may not have been carried out."""


class UnexpectedAnswer(AdfRunsError):
    """The service answered something this package does not understand; the message quotes it."""


class WaitTimedOut(AdfRunsError):
    """The wait reached its deadline; the message names what was not final. The runs were left alone."""


class RunsNotAsWanted(AdfRunsError):
    """The work was done, and some runs did not end as the task asked; the message names them."""


class WritesStopped(Exception):
    """The task was killed, or another try has taken up its batch: the write is not sent, and none follows."""
