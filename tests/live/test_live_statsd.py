"""The live suite's StatsD server hears what Airflow's own StatsD client sends."""

from __future__ import annotations

import select
import socket

import pytest

from stack.processes import is_free
from tests.live.statsd import Metric, Statsd, read, total


def test_a_counter_is_read_with_its_tags() -> None:
    line = "airflow.adfruns.windows.succeeded,dag_id=night,task_id=rerun:6|c"
    tags = {"dag_id": "night", "task_id": "rerun"}
    assert read(line) == Metric("adfruns.windows.succeeded", 6, "c", tags)


def test_a_timing_without_tags_is_read() -> None:
    assert read("airflow.adfruns.paused:2003.5|ms") == Metric("adfruns.paused", 2003.5, "ms", {})


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="no metric of Airflow's: 'submitted'"):
        read("submitted")


def test_what_was_sent_is_heard_once() -> None:
    with Statsd() as statsd, socket.socket(type=socket.SOCK_DGRAM) as sender:
        for value in (2, 3):
            sender.sendto(
                f"airflow.adfruns.submitted,conn_id=a:{value}|c".encode(), ("127.0.0.1", statsd.port)
            )
        heard: list[Metric] = []
        for _ in range(2):
            assert select.select([statsd], [], [], 60)[0], "nothing came"
            heard += statsd.heard()
            if len(heard) == 2:
                break
        assert total(heard, "adfruns.submitted", conn_id="a") == 5
        assert total(heard, "adfruns.submitted", conn_id="b") == 0
        assert statsd.heard() == []


def test_its_port_is_taken_while_it_listens_and_free_afterwards() -> None:
    with Statsd() as statsd:
        assert not is_free(statsd.port)
    assert is_free(statsd.port)
