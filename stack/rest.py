"""Airflow's REST API, as far as a person's clicks go: trigger, look, mark, clear, approve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from stack.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_FINAL = {"success", "failed"}


class AirflowRest:
    """A person at Airflow.

    :param url: the API server's address.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)  # past any proxy

    def sign_in(self, name: str, password: str) -> bool:
        """Sign in. :return: whether the server is there to answer."""
        try:
            answer = self._client.post("/auth/token", json={"username": name, "password": password})
        except httpx.TransportError:
            return False
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Call the API.

        :param path: what follows ``/api/v2``.
        :return: the JSON answered, or None.
        :raises StackError: it refused; says what it said.
        """
        answer = self._client.request(method, f"/api/v2{path}", json=body)
        if answer.is_error:
            raise StackError(f"Airflow answered {method} {path} with {answer.status_code}: {answer.text}")
        return answer.json() if answer.content else None

    def health(self) -> dict[str, str]:
        """Return the status of each part of Airflow, by its name."""
        parts: Mapping[str, Mapping[str, str]] = self.call("GET", "/monitor/health")
        return {name: part["status"] for name, part in parts.items()}

    def dag_ids(self) -> set[str]:
        """Return the DAGs that have been parsed.

        :raises StackError: a file could not be parsed; says why.
        """
        errors = self.call("GET", "/importErrors")["import_errors"]
        if errors:
            raise StackError("\n".join(f"{each['filename']}: {each['stack_trace']}" for each in errors))
        return {dag["dag_id"] for dag in self.call("GET", "/dags?limit=100")["dags"]}

    def connect(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Make a connection.

        :param connection: the keyword arguments of Airflow's ``Connection``.
        """
        body = {"connection_id": conn_id, **connection, "extra": json.dumps(connection["extra"])}
        self.call("POST", "/connections", body)

    def disconnect(self, conn_id: str) -> None:
        """Delete a connection."""
        self.call("DELETE", f"/connections/{conn_id}")

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs run."""
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any], run_after: datetime | None = None) -> DagRun:
        """Start a DAG run.

        :param conf: the DAG's params.
        :param run_after: the time that its templates take for now; default the real now.
        """
        body: dict[str, Any] = {"logical_date": None, "conf": dict(conf)}
        if run_after is not None:
            body["run_after"] = run_after.isoformat()
        return DagRun(self, dag_id, self.call("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])


class DagRun:
    """A DAG run, and what one can do with it.

    :param rest: who does it.
    """

    def __init__(self, rest: AirflowRest, dag_id: str, run_id: str) -> None:
        self._rest = rest
        self.dag_id = dag_id
        self.run_id = run_id
        self._path = f"/dags/{dag_id}/dagRuns/{run_id}"

    @property
    def state(self) -> str:
        """Its state now."""
        return str(self._rest.call("GET", self._path)["state"])

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state in _FINAL

    def tasks(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Return its task instances, by task and map index."""
        found = self._rest.call("GET", f"{self._path}/taskInstances?limit=100")["task_instances"]
        return {(each["task_id"], each["map_index"]): each for each in found}

    def count(self, state: str) -> int:
        """Count its task instances that are in a state."""
        return int(
            self._rest.call("GET", f"{self._path}/taskInstances?state={state}&limit=1")["total_entries"]
        )

    def states(self) -> dict[tuple[str, int], str | None]:
        """Return the state of each task instance."""
        return {key: each["state"] for key, each in self.tasks().items()}

    def task(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task instance."""
        return self.tasks()[task_id, map_index]

    def mark(self, task_id: str, state: str) -> None:
        """Mark a task success or failed."""
        self._rest.call("PATCH", f"{self._path}/taskInstances/{task_id}", {"new_state": state})

    def mark_run(self, state: str) -> None:
        """Mark the DAG run success or failed, and with it the tasks that have not ended."""
        self._rest.call("PATCH", self._path, {"state": state})

    def clear(self, task_id: str, map_index: int = -1) -> None:
        """Clear a task in whatever state."""
        which: Any = task_id if map_index < 0 else [task_id, map_index]
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id, "task_ids": [which]}
        self._rest.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def approve(self, task_id: str) -> None:
        """Press Approve on a task that waits for a person."""
        body = {"chosen_options": ["Approve"]}
        self._rest.call("PATCH", f"{self._path}/taskInstances/{task_id}/-1/hitlDetails", body)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return what a task has left in XCom."""
        path = f"{self._path}/taskInstances/{task_id}/xcomEntries/{key}?map_index={map_index}"
        return self._rest.call("GET", f"{path}&deserialize=false")["value"]

    def links(self, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Return a task's links to elsewhere, by their names."""
        path = f"{self._path}/taskInstances/{task_id}/links?map_index={map_index}"
        return dict(self._rest.call("GET", path)["extra_links"])

    def log(self, task_id: str, try_number: int, map_index: int = -1) -> str:
        """Return a try's log."""
        path = (
            f"{self._path}/taskInstances/{task_id}/logs/{try_number}?map_index={map_index}&full_content=true"
        )
        return "\n".join(map(_written, self._rest.call("GET", path)["content"]))


def _written(line: Any) -> str:
    """Return a line of a log, with the exception it tells of."""
    if isinstance(line, str):
        return line
    errors = [f"{each['exc_type']}: {each['exc_value']}" for each in line.get("error_detail") or ()]
    return " ".join([str(line.get("event", "")), *errors])
