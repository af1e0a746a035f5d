"""How many small answers a second the local factory gives while its client runs on the same machine.

Run as ``python -m benchmarks.emulator_speed``. The emulator serves in this process, the client is a process
of its own: kept-alive connections that each send a request, read its answer and send the next.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from airflow_provider_adfruns.emulator import AdfEmulator

SCENARIO: dict[str, Any] = {
    "now": "2026-03-01T06:40:00Z",
    "throttling": False,
    "pipelines": {"load": {"seconds": 60}},
    "triggers": {"hourly": {"pipeline": "load", "frequency": "Hour", "windows": {"count": 1}}},
    "runs": [
        {
            "pipeline": "load",
            "status": "InProgress",
            "started": "-PT1M",
            "id": "7c1f0d4e-0000-4000-8000-000000000001",
        }
    ],
}
RUN = "/pipelineruns/7c1f0d4e-0000-4000-8000-000000000001?api-version=2018-06-01"
QUERY = "/queryTriggerRuns?api-version=2018-06-01"
BODY = json.dumps({"lastUpdatedAfter": "2026-01-01T00:00:00Z", "lastUpdatedBefore": "2030-01-01T00:00:00Z"})


def main() -> None:
    """Measure a GET of a pipeline run and a query that finds one trigger run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each is measured; default 5")
    parser.add_argument("--connections", type=int, default=8, help="at once; default 8")
    parser.add_argument("--client", nargs=2, metavar=("PORT", "REQUEST"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        port, text = options.client
        print(asyncio.run(_calls(int(port), text.encode(), options.connections, options.seconds)))
        return
    for name, method, path, body in (
        ("GET pipeline run", "GET", RUN, ""),
        ("query trigger runs", "POST", QUERY, BODY),
    ):
        with AdfEmulator(SCENARIO) as emulator:
            extra = emulator.connection()["extra"]
            factory = (
                f"/subscriptions/{extra['subscriptionId']}/resourceGroups/{extra['resource_group_name']}"
                f"/providers/Microsoft.DataFactory/factories/{extra['factory_name']}"
            )
            request = (
                f"{method} {factory}{path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
                f"Authorization: Bearer loopback:benchmark\r\nx-ms-client-request-id: benchmark\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            )
            answered = _client(emulator.url.rpartition(":")[2], request, options)
        print(f"{name:20} {answered / options.seconds:8.0f} answers a second")


def _client(port: str, request: str, options: argparse.Namespace) -> int:
    arguments = ["--seconds", str(options.seconds), "--connections", str(options.connections)]
    command = [sys.executable, "-m", "benchmarks.emulator_speed", *arguments, "--client", port, request]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this very module
    return int(done.stdout)


async def _calls(port: int, request: bytes, connections: int, seconds: float) -> int:
    ends = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_call(port, request, ends) for _ in range(connections))))


async def _call(port: int, request: bytes, ends: float) -> int:
    """Send the request again and again, and count the answers; anything but a 200 ends the measurement."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    while time.monotonic() < ends:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        answered += 1
    writer.close()
    return answered


if __name__ == "__main__":
    main()
