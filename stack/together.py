"""Airflow and a local factory together: Airflow knows the factory by its default connection."""

from __future__ import annotations

import shutil
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from stack.airflow import RealAirflow, real_airflow
from stack.factory import LocalFactory, local_factory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

CONN_ID = "azure_data_factory_default"


@contextmanager
def airflow_and_factory(
    home: Path,
    scenario: Path,
    dag_folders: Mapping[str, Path],
    *,
    clock: str,
    settings: Mapping[str, str] | None = None,
    airflow_port: int = 0,
    factory_port: int = 0,
) -> Iterator[tuple[RealAirflow, LocalFactory]]:
    """Run both until the context is left, by Ctrl-C or SIGTERM as well; then nothing of them runs.

    :param home: a folder for all that they write; what is in it is removed first.
    :param scenario: the factory's.
    :param dag_folders: the folders of the DAGs, by the names of their bundles.
    :param clock: how fast the factory's time passes, see `local_factory`.
    :param settings: more of Airflow's settings, see `real_airflow`.
    :param airflow_port: where Airflow's UI listens; default 0 takes a free port.
    :param factory_port: where the factory listens, likewise.
    """
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(_one_signal_ends())
        factory = stack.enter_context(local_factory(scenario, clock=clock, logs=home, port=factory_port))
        airflow = stack.enter_context(real_airflow(home / "airflow", dag_folders, settings, airflow_port))
        airflow.rest.connect(CONN_ID, factory.connection)
        yield airflow, factory


@contextmanager
def _one_signal_ends() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does; further ones are ignored, for they would leave processes behind."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def end(number: int, frame: FrameType | None) -> None:
        for kind in kinds:
            signal.signal(kind, signal.SIG_IGN)
        signal.default_int_handler(number, frame)

    for kind in kinds:
        signal.signal(kind, end)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
