"""The adf-emulator command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from airflow_provider_adfruns.emulator import command

if TYPE_CHECKING:
    from pathlib import Path


def test_a_bad_scenario_ends_with_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("pipelines: {}\ncolour: red\n")
    assert command.main(["--scenario", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"adf-emulator: {path}, line 2: ")


def test_a_port_that_is_taken_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert command.main(["--port", str(taken.getsockname()[1])]) == 1
    assert "cannot serve" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--clock", "-1"], ["--wire", "2023"]])  # noqa: S104
def test_arguments_that_make_no_sense_end_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)


def test_the_help_shows_a_scenario_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert "pipelines:" in shown
    assert "what to do next" in shown


def test_the_example_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--show-example"]) == 0
    assert "hourly_sales" in capsys.readouterr().out


def test_a_clock_that_stands_still_is_moved_over_the_control_api(tmp_path: Path) -> None:
    path = tmp_path / "details.json"
    arguments = [sys.executable, "-m", command.__name__, "--clock", "manual", "--details-file", str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert "Ctrl-C ends\n" in process.stdout
        url = json.loads(path.read_text())["url"]
        now = httpx.post(f"{url}/_adf/clock", json={"advance": 3600}).json()["now"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert now == "2026-03-01T07:40:00+00:00"


def test_it_serves_until_it_is_interrupted_and_says_how_to_connect() -> None:
    arguments = [sys.executable, "-m", "airflow_provider_adfruns.emulator.command"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        name, _, value = process.stdout.readline().partition("=")
        assert process.stdout.readline() == "Ctrl-C ends\n"
        status = httpx.get(url).status_code
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert (status, name) == (200, "export AIRFLOW_CONN_AZURE_DATA_FACTORY_DEFAULT")
    assert json.loads(value.strip().strip("'"))["extra"]["arm_endpoint"] == url


def test_the_details_are_written_for_machines(tmp_path: Path) -> None:
    path = tmp_path / "details.json"
    arguments = [
        sys.executable,
        "-m",
        "airflow_provider_adfruns.emulator.command",
        "--details-file",
        str(path),
    ]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert "Ctrl-C ends\n" in process.stdout
        details = json.loads(path.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert details["connection"]["extra"]["arm_endpoint"] == details["url"]
