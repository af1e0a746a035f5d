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

from stack.processes import Service, StackError, run_as, until

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60.0
_END_SECONDS = 10.0
_PLACE_FOR_ALL = "/tmp"  # noqa: S108 - the folder in it has a name that nobody can guess, and is private
_LONGEST_PLACE = 60
# Its data is thrown away in the end, so nothing needs to reach the disk.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


def programs() -> Path | None:
    """Return the folder of the server's programs, of the newest version, or None.

    None as well where one may not run them: the server refuses root, and root may not become somebody else in
    every container.
    """
    found = sorted(_DEBIAN.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("postgres")
    if found:
        bin_folder = found[-1].parent
    elif on_path:
        bin_folder = Path(on_path).resolve().parent
    else:
        return None
    return bin_folder if _may_run(bin_folder) else None


def _may_run(bin_folder: Path) -> bool:
    try:
        user = _user()
        with _folder(user):
            command = [str(bin_folder / "postgres"), "--version"]
            done = subprocess.run(command, cwd="/", capture_output=True, check=False, **run_as(user))  # noqa: S603
    except (OSError, StackError):
        return False
    return done.returncode == 0


@contextmanager
def postgres(bin_folder: Path, logs: Path) -> Iterator[tuple[Service, str]]:
    """Run a server with an empty database until the context is left; then nothing of it is left.

    :param bin_folder: where its programs are.
    :param logs: where its log goes.
    :return: the server, and the database's address for SQLAlchemy.
    :raises StackError: it does not start.
    """
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    user = _user()
    with ExitStack() as stack:
        home = stack.enter_context(_folder(user))
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
                "--encoding",
                "UTF8",
                "--no-sync",
            ],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **run_as(user),
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


@contextmanager
def _folder(user: tuple[int, int] | None) -> Iterator[Path]:
    """Make a folder that the server's user owns, and remove it in the end.

    It is not under the clone: the path of a socket has room for 107 characters, and somebody else than root
    may not be let in there. Neither is it where ``TMPDIR`` points to, if the same is to be feared there.
    """
    place = tempfile.gettempdir()
    if user is not None or len(place) > _LONGEST_PLACE:
        place = _PLACE_FOR_ALL
    with tempfile.TemporaryDirectory(prefix="adfruns-postgres-", dir=place) as folder:
        if user is not None:
            os.chown(folder, *user)
        yield Path(folder)


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
