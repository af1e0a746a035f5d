"""One try of a recovery, which dies where its night says; its ledgers are kept for the judge."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from azure.core.pipeline.transport import AioHttpTransport

from airflow_provider_adfruns.operators.recover import AdfRecoverStuckTriggerRunsOperator
from tests.chaos.attempt import FileStore, operate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.recovery.night import Death

# What a worker imports when it is needed, a try has from its parent: it takes a second.
for _name in ("cancel", "cancel_waiting", "clearing", "final_watch", "recover", "stuck_windows", "tree"):
    import_module(f"airflow_provider_adfruns.batch.{_name}")

LEDGERS = "ledgers.jsonl"


class Fate:
    """Counts what a try does, and kills its process when it is time.

    :param death: None if it is to live.
    """

    def __init__(self, death: Death | None) -> None:
        self._death = death
        self._counts = {"request": 0, "ledger": 0}

    def before(self, kind: str) -> None:
        """Count one more."""
        self._counts[kind] += 1
        self._meet(kind, is_done=False)

    def after(self, kind: str) -> None:
        """Say that the last one was done."""
        self._meet(kind, is_done=True)

    def _meet(self, kind: str, *, is_done: bool) -> None:
        death = self._death
        if death is not None and (death.kind, death.at, death.is_done) == (kind, self._counts[kind], is_done):
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyStore(FileStore):
    """A store whose writes may be a try's last, just before or just after; all are kept in a log."""

    def __init__(self, home: Path, fate: Fate) -> None:
        super().__init__(home / "state.json")
        self._log = home / LEDGERS
        self._fate = fate

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self._fate.before("ledger")
        super().set(key, value)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(value) + "\n")
        self._fate.after("ledger")


def read_ledgers(home: Path) -> list[dict[str, Any]]:
    """Return all that was written to the ledger, in order."""
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in (home / LEDGERS).read_text(encoding="utf-8").splitlines()]
    return []


def recover(
    home: Path,
    parameters: Mapping[str, Any],
    number: int,
    max_tries: int,
    death: Death | None,
    *,
    has_store: bool,
) -> None:
    """Execute the operator in this process, which ends before its time if its night says so."""
    fate = Fate(death)
    send = AioHttpTransport.send

    async def deadly(self: AioHttpTransport, request: Any, **options: Any) -> Any:
        fate.before("request")
        answer = await send(self, request, **options)
        fate.after("request")
        return answer

    AioHttpTransport.send = deadly
    store = DeadlyStore(home, fate) if has_store else None
    operate(
        home,
        parameters,
        store,
        number,
        operator=partial(AdfRecoverStuckTriggerRunsOperator),
        max_tries=max_tries,
    )
