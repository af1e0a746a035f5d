"""A PostgreSQL server of one's own, where the machine has the programs: reached by a socket in its folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stack.processes import Service, StackError, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0
_END_SECONDS = 10.0
# Its data is thrown away in the end, so nothing needs to reach the disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


def programs() -> Path | None:
    """Return the folder of the server's programs, of the newest version, or None."""
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgres(bin_folder: Path, logs: Path) -> Iterator[tuple[Service, str]]:
    """Run a server with an empty database until the context is left; then nothing of it is left.

    :param bin_folder: where its programs are.
    :param logs: where its log goes.
    :return: the server, and the database's address for SQLAlchemy.
    :raises StackError: it does not start.
    """
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    # The path of a socket has room for 107 characters, so the folder is not under the clone.
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="adfruns-postgres-")))
        user = _user()
        if user is not None:
            os.chown(home, *user)
        data = home / "data"
        made = subprocess.run(  # noqa: S603 - the program found above
            [
                bin_folder / "initdb",
                "--pgdata",
                data,
                "--username",
                "airflow",
                "--auth",
                "trust",
                "--no-sync",
            ],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
        )
        if made.returncode != 0:
            raise StackError(f"initdb has failed: {made.stdout}{made.stderr}")
        settings = [f"--{key}={value}" for key, value in _SETTINGS.items()]
        server = Service(
            "postgres",
            [str(bin_folder / "postgres"), "-D", str(data), "-k", str(home), *settings],
            environment=environment,
            logs=logs,
            user=user,
            ends_by=signal.SIGINT,  # the fast way: sessions are cut off
        )
        stack.callback(server.end, _END_SECONDS)
        server.start()
        until(
            "PostgreSQL answers",
            lambda: _createdb(bin_folder, home, environment),
            seconds=_START_SECONDS,
            services=[server],
        )
        yield server, f"postgresql+psycopg2://airflow@/airflow?host={home}"


def _createdb(bin_folder: Path, home: Path, environment: dict[str, str]) -> bool:
    command = [str(bin_folder / "createdb"), "--host", str(home), "--username", "airflow", "airflow"]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0  # noqa: S603


def _user() -> tuple[int, int] | None:
    """Return whom the server has to run as: it refuses root. None is oneself."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise StackError("PostgreSQL's server refuses to run as root, and there is no user postgres or nobody")
