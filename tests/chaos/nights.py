"""What the programs that run nights of faults share: arguments, a place for logs, sign-in, what to say."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.night import OURS, SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.factory import Served


def arguments(module: str, description: str | None, *, windows: int) -> argparse.ArgumentParser:
    """Return a program's arguments.

    :param module: the program, as Python runs it.
    :param windows: how many a night has by default.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--seeds", type=int, default=10, help="how many nights; default 10")
    parser.add_argument("--windows", type=int, default=windows, help=f"windows a night; default {windows}")
    parser.add_argument("--first-seed", type=int, default=1, help="the first night's seed; default 1")
    parser.add_argument(
        "--without-store", action="store_true", help="as before Airflow 3.3: no try knows of an earlier one"
    )
    return parser


def in_a_home(work: Callable[[Path], bool]) -> int:
    """Do the work in a folder and an Airflow of its own, which are kept only if it has gone wrong.

    :param work: says whether all was well. Airflow and what imports it may be imported in it only.
    :return: the program's exit status.
    """
    home = Path(tempfile.mkdtemp(prefix="adfruns-nights-"))
    (home / "airflow").mkdir()
    os.environ |= {"AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    is_well = False
    try:
        is_well = work(home)
    finally:
        if is_well:
            shutil.rmtree(home)
        else:
            print(f"logs and evidence are in {home}")
    return 0 if is_well else 1


def sign_in(factory: Served) -> None:
    """Let tasks find a factory behind the default connection, as the principal that is judged."""
    connection = {**factory.connection, "login": OURS, "password": SECRET}
    connection["extra"] = json.dumps(factory.connection["extra"])
    os.environ["AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT"] = json.dumps(connection)


def show(module: str, seed: int, options: argparse.Namespace, findings: Sequence[str]) -> None:
    """Print what is wrong with a night, and how to see it again."""
    for finding in findings[:20]:
        print(f"  {finding}")
    without = " --without-store" if options.without_store else ""
    again = f"--first-seed {seed} --seeds 1 --windows {options.windows}{without}"
    print(f"  again: python -m {module} {again}", flush=True)
