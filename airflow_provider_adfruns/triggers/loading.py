"""What a triggerer loads for the first of its watches, and how its event loop is spared the cost.

CPython's cyclic garbage collector stops the whole process, the loop too, for as long as it looks through what
is alive. Airflow's own modules and the SDK's are some 270,000 objects, and a collection of all of them took
0.2 to 0.5 s each time (tried with Airflow 3.3.2, azure-mgmt-datafactory 10.0 and Python 3.11). They live as
long as the process, so there is nothing to be found in them.
"""

from __future__ import annotations

import gc
import threading
from importlib import import_module

_MODULES = (
    "airflow_provider_adfruns.hooks.adf_runs",
    "airflow_provider_adfruns.batch.final_watch",
    "airflow_provider_adfruns.batch.kill",
    "airflow_provider_adfruns.batch.rerun",
    "airflow_provider_adfruns.adf.sdk",
    "azure.identity.aio",
)

_lock = threading.Lock()
_loaded = False


def load() -> None:
    """Import all that a watch needs, and let the collector leave alone what is in memory by then.

    The first call in a process does it, without a collection meanwhile; whoever calls at the same time waits.
    It takes a second or two, so call it in a thread. Garbage that is not collected by then never is: once,
    and only what has gathered since the last collection. Airflow freezes its scheduler's workers in the
    same way (``gc.freeze``).
    """
    global _loaded  # noqa: PLW0603 - it is the process that has loaded
    with _lock:
        if _loaded:
            return
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            for name in _MODULES:
                import_module(name)
            gc.freeze()
        finally:
            if was_enabled:
                gc.enable()
        _loaded = True
