"""The `adf-emulator` command: reads its arguments, serves a factory until Ctrl-C, says how to connect."""

from __future__ import annotations

import argparse
import ipaddress
import json
import shlex
import signal
import sys
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow_provider_adfruns.emulator.clock import read_scale
from airflow_provider_adfruns.emulator.reading import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_adfruns.emulator.clock import ClockSetting
    from airflow_provider_adfruns.emulator.server import AdfEmulator

OK = 0
CANNOT_SERVE = 1
BAD_USAGE = 2

_DESCRIPTION = """\
Serve a local Azure Data Factory: its run API over HTTP, with pipelines, triggers and a past from a scenario
file. Nothing leaves this machine, and nothing is billed."""

_EPILOG = """\
a scenario, as small as it gets:

  now: 2026-03-01T06:40:00Z            # the factory's clock starts here; default the real now
  pipelines:
    load_sales: {seconds: 60}
  triggers:
    hourly_sales:
      pipeline: load_sales
      frequency: Hour
      windows: {from: -PT12H, count: 12, status: Failed}   # twelve windows to rerun

what to do next:

  1. adf-emulator --scenario night.yaml --clock 60     a minute of the factory passes in a second
  2. export the AIRFLOW_CONN_... line it prints where Airflow runs
  3. run a task that reruns, cancels or waits, and watch the runs change
  4. curl -d '{"advance": 3600}' URL/_adf/clock                              an hour passes
     curl -d '{"operation": "TriggerRuns_Rerun", "status": 503}' URL/_adf/faults   the next rerun fails
     curl URL/_adf                                                           lists what else can be done

without --scenario a bundled example is served; --show-example prints it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: the command line without its first word; default that of the process.
    :return: 0 ended by Ctrl-C or a signal, 1 could not serve, 2 bad arguments or a bad scenario.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.show_example:
        print(_example().read_text(encoding="utf-8"), end="")
        return OK
    if not _is_loopback(options.host):
        if not options.allow_remote:
            parser.error(
                f"--host {options.host} can be reached from elsewhere; say --allow-remote if you mean it"
            )
        print(f"warning: anybody who reaches {options.host} can change this factory", file=sys.stderr)
    try:
        emulator = _make(options)
    except (ScenarioError, ValueError) as error:
        print(f"adf-emulator: {error}", file=sys.stderr)
        return BAD_USAGE
    try:
        with emulator:
            return _serve(emulator, options)
    except (OSError, RuntimeError) as error:
        print(f"adf-emulator: cannot serve: {error}", file=sys.stderr)
        return CANNOT_SERVE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adf-emulator",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", metavar="FILE", help="the scenario to serve; default a bundled example")
    parser.add_argument(
        "--show-example", action="store_true", help="print the bundled example scenario and end"
    )
    parser.add_argument("--port", type=int, default=0, help="the port; default 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on; default 127.0.0.1")
    parser.add_argument("--allow-remote", action="store_true", help="allow a --host others can reach")
    parser.add_argument(
        "--clock",
        default="real",
        type=_clock,
        metavar="real|manual|SCALE",
        help="how fast time passes: 60 is a minute a second; manual: when it is told to",
    )
    parser.add_argument(
        "--wire",
        default="2022",
        choices=("2021", "2022"),
        help="which generation's answers to give; default 2022",
    )
    parser.add_argument("--tls", action="store_true", help="serve https, check tokens and give them out")
    parser.add_argument(
        "--conn-id", default="azure_data_factory_default", help="the connection's id in what is printed"
    )
    parser.add_argument(
        "--details-file", metavar="FILE", help="write url and connection there as JSON, once serving"
    )
    return parser


def _clock(text: str) -> ClockSetting:
    if text in {"real", "manual"}:
        return cast("ClockSetting", text)
    try:
        return read_scale(float(text))
    except ValueError:
        message = f"'real', 'manual', or a scale above 0 such as 60, not {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _example() -> Path:
    return Path(str(resources.files("airflow_provider_adfruns.emulator"))) / "scenarios" / "night.yaml"


def _make(options: argparse.Namespace) -> AdfEmulator:
    from airflow_provider_adfruns.emulator.server import AdfEmulator  # noqa: PLC0415 - --help needs no server

    return AdfEmulator(
        Path(options.scenario) if options.scenario else _example(),
        host=options.host,
        port=options.port,
        clock=options.clock,
        wire_generation=options.wire,
        tls=options.tls,
    )


def _serve(emulator: AdfEmulator, options: argparse.Namespace) -> int:
    ended = threading.Event()
    previous = {kind: signal.signal(kind, lambda *_: ended.set()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        variable = f"AIRFLOW_CONN_{options.conn_id.upper()}"
        print(f"A factory is served at {emulator.url}")
        print(f"export {variable}={shlex.quote(emulator.connection_json())}")
        if options.details_file:
            details = {"url": emulator.url, "ca_file": emulator.ca_file, "connection": emulator.connection()}
            Path(options.details_file).write_text(json.dumps(details, indent=2), encoding="utf-8")
        print("Ctrl-C ends", flush=True)
        ended.wait()
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
    return OK


if __name__ == "__main__":
    sys.exit(main())
