"""What a triggerer's first watch loads: off the event loop, and out of the garbage collector's way.

Each in a process of its own, for what a process has loaded and frozen stays so.
"""

from __future__ import annotations

import subprocess
import sys


def printed(code: str) -> str:
    """Run code in a fresh interpreter, and return what it prints."""
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return ran.stdout.strip().splitlines()[-1]


def test_importing_the_triggers_imports_neither_the_sdk_nor_what_does_the_watching() -> None:
    code = (
        "import sys; import airflow_provider_adfruns.triggers.runs;"
        "print(sorted(name for name in sys.modules if name.startswith('azure')"
        " or name.startswith('airflow_provider_adfruns.batch.')))"
    )
    assert printed(code) == "[]"


def test_the_first_watch_loads_the_sdk_without_a_collection_of_all_that_is_alive() -> None:
    code = (
        "import gc, sys; import airflow_provider_adfruns.triggers.loading as loading; full = [];"
        "gc.callbacks.append(lambda phase, info: full.append(phase) if info['generation'] == 2 else None);"
        "loading.load(); print(len(full), 'azure.mgmt.datafactory' in sys.modules, gc.isenabled())"
    )
    assert printed(code) == "0 True True"


def test_what_is_loaded_by_then_is_never_looked_through_again() -> None:
    code = (
        "import gc; import airflow_provider_adfruns.triggers.loading as loading;"
        "loading.load(); first = gc.get_freeze_count(); made = [[] for _ in range(1000)];"
        "loading.load(); print(first > 50_000, gc.get_freeze_count() == first)"
    )
    assert printed(code) == "True True"


def test_a_process_that_collects_no_garbage_is_left_so() -> None:
    code = (
        "import gc; import airflow_provider_adfruns.triggers.loading as loading;"
        "gc.disable(); loading.load(); print(gc.isenabled())"
    )
    assert printed(code) == "False"
