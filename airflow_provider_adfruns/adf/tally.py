"""What became of a client's requests, in numbers; who reads them, and where they go, is not known here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts of one client, from its beginning.

    :param submitted: writes (cancel, rerun, createRun) that the service has accepted.
    :param ambiguous: writes that were sent and whose answer told nothing.
    :param settled: of those, the ones about which looking at the factory has decided since.
    :param throttled: requests that the service has answered with 429, each time.
    :param paused_seconds: how long requests waited for their turn, each for itself.
    """

    submitted: int = 0
    ambiguous: int = 0
    settled: int = 0
    throttled: int = 0
    paused_seconds: float = 0.0
