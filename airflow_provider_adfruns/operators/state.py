"""Where a task keeps its ledger between tries: Airflow's task state store, where there is one."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.errors import InvalidInput, WritesStopped
from airflow_provider_adfruns.batch.ledger import LEDGER_KEY, KeptLedger, Ledger, Phase

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)


class TaskLedger:
    """The ledger of one task instance; it outlives tries, a clear and a success.

    Airflow has the store since 3.3. Before, nothing is kept: a try that is not the first then plans anew, and
    looks for reruns that may just have been sent before it sends any.

    :param context: the task's.
    """

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        ti = context["ti"]
        self._try_number = int(getattr(ti, "try_number", 1) or 1)
        self.max_tries = int(getattr(ti, "max_tries", 0) or 0)
        self.owner = f"{getattr(ti, 'id', '')}#{self._try_number}"
        self._is_unreadable = False

    @property
    def has_notes(self) -> bool:
        """Whether what is kept outlives this try."""
        return self._store is not None

    def take(self) -> Ledger | None:
        """Return what an earlier try has written; if its batch goes on, it is this try's from now on.

        So that nothing is sent any more of what is being read here, should the earlier try be alive.
        """
        known = self.read()
        if known is not None and known.is_resumed_with(self.max_tries):
            self._write(known.taken_up(self.owner, known.max_tries))
        return known

    def read(self) -> Ledger | None:
        """Return what an earlier try has written, if anything that can be read."""
        data = self._store.get(LEDGER_KEY, None) if self._store is not None else None
        self._is_unreadable = False
        try:
            return Ledger.from_json(data) if data else None
        except ValueError as error:
            self._is_unreadable = True
            log.warning(
                "What an earlier try kept of its batch cannot be read, so it is planned anew: %s", error
            )
            return None

    def keep(self, ledger: Ledger) -> KeptLedger:
        """Keep the ledger, and each change of it from now on.

        :raises WritesStopped: if another try has begun a batch since this one has asked.
        """
        if not self._is_unreadable and self._kept().get("phase") not in {Phase.SUCCEEDED, Phase.FAILED}:
            self._check_own()
        self._write(ledger)
        return KeptLedger(ledger, self._write, self._check_own)

    def kept(self) -> KeptLedger | None:
        """Return the ledger as this try has kept it before it deferred, None where nothing is kept.

        :raises WritesStopped: if another try has taken up the batch.
        """
        self._check_own()
        known = self.read()
        return None if known is None else KeptLedger(known, self._write, self._check_own)

    def _check_own(self) -> None:
        """See that no other try has taken up the batch: Airflow may take a worker for dead that is not.

        :raises WritesStopped: if one has.
        """
        owner = self._kept().get("owner")
        if owner is not None and owner != self.owner:
            raise WritesStopped(
                f"try {owner} has taken up the batch of windows, so that try {self.owner} sends nothing more."
            )

    def _kept(self) -> dict[str, Any]:
        known = self._store.get(LEDGER_KEY, None) if self._store is not None else None
        return known if isinstance(known, dict) else {}

    def _write(self, ledger: Ledger) -> None:
        if self._store is not None:
            self._store.set(LEDGER_KEY, ledger.to_json())

    def finish(self, phase: Phase) -> None:
        """Note how the batch has been judged: see ``Ledger.is_resumed_with`` for what a next try does then.

        A batch that another try has taken up is that try's to judge.

        :param phase: ``SUCCEEDED`` or ``FAILED``.
        """
        known = self.read()
        if known is not None and known.owner == self.owner:
            self._write(known.moved_to(phase))

    def may_hide_reruns(self, ledger: Ledger | None) -> bool:
        """Say whether an earlier try may have sent reruns that queries do not show yet."""
        if self._store is None:
            return self._try_number > 1
        return self._is_unreadable or (ledger is not None and ledger.is_open)


class TaskBatch:
    """Names the batch of a task whose writes are told apart by ids chosen beforehand.

    Every try of a batch has its name; once the batch has been judged, a next try or a clear has another. If
    it was judged well and Airflow retries by itself, Airflow has not heard of the success: the try has the
    same batch, and ``has_succeeded`` says so. The name is made up and kept, so that a DAG run of the same id,
    deleted and made again or of another Airflow, takes no other's reruns for its own. Without the store
    (before Airflow 3.3) a task instance has one batch for good, named after it, and no try knows of a clear:
    safe, and a retry starts nothing new.

    ``judged`` names the batches before it, as long as Airflow retries by itself: what they have rerun well is
    not rerun again. After a clear of a task that had ended there are none.

    :param context: the task's.
    :raises InvalidInput: for a note that cannot be read: without it a rerun might be a second one.
    """

    _KEY = "adfruns_rerun_pipeline"

    def __init__(self, context: Context) -> None:
        self._store: Any = context.get("task_state_store")
        known = self._read()
        ti = context["ti"]
        self._max_tries = int(getattr(ti, "max_tries", 0) or 0)
        is_clear = known.get("max_tries") != self._max_tries
        self.has_succeeded = known.get("phase") == Phase.SUCCEEDED and not is_clear
        if is_clear and "phase" in known:
            known = {}
        if self._store is None:
            self.name = "\n".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1))))
            self.may_have_begun = int(getattr(ti, "try_number", 1) or 1) > 1
        else:
            self.name = known.get("batch") or uuid.uuid4().hex
            self.may_have_begun = "batch" in known
        self.was_cleared = "batch" in known and is_clear
        self.judged: tuple[str, ...] = tuple(known["judged"]) if "batch" in known or not is_clear else ()

    def _read(self) -> dict[str, Any]:
        known: Any = self._store.get(self._KEY, None) if self._store is not None else None
        if not known:
            return {}
        if isinstance(known, dict) and known.keys() >= {"judged", "max_tries"}:
            return known
        raise InvalidInput(
            f"task state {self._KEY!r}: {str(known)[:200]!r} is not what this package has kept there, so what"
            " earlier tries have rerun is not known. Nothing was sent. Look into the runs' groups in ADF"
            " Studio, and delete the key to begin anew."
        )

    def begin(self) -> None:
        """Note that a batch is under way, before anything is sent; another note comes with ``sent``.

        So one that has succeeded is open again: from now on a person's clear goes on with it.
        """
        if not self.may_have_begun or self.has_succeeded:
            self._write({"batch": self.name, "judged": list(self.judged)})

    def sent(self) -> None:
        """Note that this try has sent what it had to: a clear from now on is another clear."""
        if self.was_cleared:
            self._write({"batch": self.name, "judged": list(self.judged)})

    def finish(self, phase: Phase) -> None:
        """Note how the batch has been judged.

        :param phase: ``SUCCEEDED`` or ``FAILED``.
        """
        if phase is Phase.SUCCEEDED:
            self._write({"batch": self.name, "judged": list(self.judged), "phase": str(phase)})
        else:
            self._write({"judged": [*self.judged, self.name]})

    def _write(self, batch: dict[str, Any]) -> None:
        if self._store is not None:
            self._store.set(self._KEY, {**batch, "max_tries": self._max_tries})
