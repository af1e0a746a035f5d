"""A StatsD server that only listens: what the processes of an Airflow tell it of this package."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST = 65_535
_LINE = re.compile(r"airflow\.(?P<name>[\w.]+)(?P<tags>(?:,\w+=[^,:]*)*):(?P<value>[\d.]+)\|(?P<kind>\w+)")


@dataclass(frozen=True, slots=True)
class Metric:
    """What was told once.

    :param value: of a counter how many more; of a timing milliseconds.
    :param kind: ``c`` for a counter, ``ms`` for a timing.
    """

    name: str
    value: float
    kind: str
    tags: Mapping[str, str]


class Statsd:
    """The server: a port, and what came to it.

    Nobody reads it meanwhile: what this package tells in a story is little, and the kernel keeps it.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Return what `select` waits at for something to come."""
        return self._socket.fileno()

    @property
    def settings(self) -> dict[str, str]:
        """What an Airflow has to be told in order to tell this server, without ``AIRFLOW__``."""
        return {
            "METRICS__STATSD_ON": "True",
            "METRICS__STATSD_HOST": "127.0.0.1",
            "METRICS__STATSD_PORT": str(self.port),
            "METRICS__STATSD_INFLUXDB_ENABLED": "True",  # names with their tags
            "METRICS__METRICS_ALLOW_LIST": "adfruns",
        }

    def heard(self) -> list[Metric]:
        """Return what has come since the last time."""
        found: list[Metric] = []
        while True:
            try:
                packet = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return found
            found += [read(line) for line in packet.decode().splitlines()]


def read(line: str) -> Metric:
    """Read a line of StatsD, with tags as InfluxDB writes them.

    :raises ValueError: it is none.
    """
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"this is no metric of Airflow's: {line!r}")
    tags = dict(each.split("=", 1) for each in found["tags"].split(",")[1:])
    return Metric(found["name"], float(found["value"]), found["kind"], tags)


def total(metrics: Iterable[Metric], name: str, **tags: str) -> float:
    """Add up what was told of one metric.

    :param tags: only where it carries these.
    """
    return sum(each.value for each in metrics if each.name == name and tags.items() <= each.tags.items())
