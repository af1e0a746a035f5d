"""Drives the emulator with clients that are not ours, each in an environment of its own; ``make contract``.

    python -m tests.contract.clients [--home DIRECTORY]

It prints what each client has checked, and ends with 1 where one of them found something wrong. Every call
they made is held against the published spec where that lies beside the repository.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator import AdfEmulator
from tests.contract.spec import read_spec

if TYPE_CHECKING:
    from tests.contract.spec import Spec

HERE = Path(__file__).parent
TIMEOUT_SECONDS = 120


def commands(home: Path) -> list[list[str]]:
    """Return how each client is run.

    :param home: where the clients' environments are.
    """
    older = str(HERE / "older_sdk.py")
    return [
        [str(home / "sdk9" / "bin" / "python"), older],
        [str(home / "sdk1" / "bin" / "python"), older],
        ["node", str(HERE / "arm_datafactory.mjs")],
    ]


def run_client(command: list[str], home: Path, spec: Spec | None) -> bool:
    """Let one client drive an emulator of its own over https; say whether all was well."""
    with AdfEmulator(HERE / "scenario.yaml", tls=True) as emulator:
        connection = emulator.connection()
        extra = connection["extra"]
        place = {
            "url": emulator.url,
            "ca_file": emulator.ca_file,
            "tenant": extra["tenantId"],
            "subscription": extra["subscriptionId"],
            "resource_group": extra["resource_group_name"],
            "factory": extra["factory_name"],
            "client_id": connection["login"],
            "client_secret": connection["password"],
        }
        environment = {
            **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
            "NODE_EXTRA_CA_CERTS": str(emulator.ca_file),
            "CLIENT_MODULES": str(home / "npm"),
        }
        ended = subprocess.run(  # noqa: S603 - the commands stand above
            command,
            input=json.dumps(place),
            text=True,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        journal = emulator.journal
    found = spec.violations(journal) if spec is not None else []
    for each in found:
        print(f"  NOT IN THE SPEC {each}")
    against = "held against the spec" if spec is not None else "the spec is not at hand"
    print(f"  {len(journal)} calls, {against}; ended with {ended.returncode}", flush=True)
    return ended.returncode == 0 and not found


def main() -> int:
    """Run every client."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.clients")
    parser.add_argument("--home", type=Path, default=Path(".contract"), help="where their environments are")
    home = parser.parse_args().home.resolve()
    spec = read_spec()
    results = [run_client(command, home, spec) for command in commands(home)]
    print(f"{sum(results)} of {len(results)} clients found all as it should be")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
