"""WriteGate: what a killed task closes, so that it changes nothing more in the factory."""

from __future__ import annotations

from airflow_provider_adfruns.adf.errors import WritesStopped


class WriteGate:
    """Lets writes pass until it is closed, for good; reads are not its business.

    It may be closed from a signal handler or another thread: closing sets one flag.
    """

    def __init__(self) -> None:
        self._is_closed = False

    def close(self) -> None:
        """Let no write leave from here on; one that has left already is not taken back."""
        self._is_closed = True

    def check(self, what: str) -> None:
        """See that a write may leave.

        :param what: names the write in the message.
        :raises WritesStopped: if the gate is closed.
        """
        if self._is_closed:
            raise WritesStopped(
                f"the task was killed, so it changes nothing more: {what} was not sent. A next try takes up"
                " what is left."
            )
