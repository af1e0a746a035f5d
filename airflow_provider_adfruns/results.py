"""Results too large for XCom: where a task's JSON document goes in object storage, written and read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_adfruns.adf.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context, ObjectStoragePath

log = logging.getLogger(__name__)

_EXPECTED = (
    "Expected a file, or a folder with '/' at its end: an absolute path of this machine, or an address such"
    " as 's3://bucket/folder/' or 'abfs://connection_id@container/' whose Airflow provider is installed"
)
_MOST_PROBLEMS = 20


def check_result_path(path: object, parameter: str) -> str:
    """Check what can be known of a path without looking at the storage.

    :param path: an absolute local path, or an address with a scheme.
    :param parameter: the parameter's name, for the message.
    :return: the path as text.
    :raises InvalidInput: for anything else; a relative path would depend on the worker's working folder.
    """
    text = path.strip() if isinstance(path, str) else str(path) if hasattr(path, "__fspath__") else ""
    if not text or text == "None" or ("://" not in text and not text.startswith("/")):
        raise InvalidInput(f"{parameter}: {path!r} is not possible. {_EXPECTED}.")
    return text


def result_file(path: object, parameter: str, context: Context) -> str:
    """Return the file that this try of the task writes.

    :param path: the file itself; or a folder, in which each try has a file of its own, laid out as Airflow
        lays out its logs: ``dag_id=.../run_id=.../task_id=.../attempt=1.json``.
    :param parameter: the parameter's name, for messages.
    :param context: the task's.
    :raises InvalidInput: see ``check_result_path``.
    """
    text = check_result_path(path, parameter)
    if not text.endswith("/"):
        return text
    ti: Any = context["ti"]
    parts = [f"dag_id={ti.dag_id}", f"run_id={ti.run_id}", f"task_id={ti.task_id}"]
    map_index = getattr(ti, "map_index", -1)
    if map_index is not None and map_index >= 0:
        parts.append(f"map_index={map_index}")
    return text + "/".join([*parts, f"attempt={ti.try_number}.json"])


def reserve(file: str, parameter: str) -> None:
    """See that the file can be written before the work begins, by writing that it is not complete.

    Writing is the only proof of a permission that every storage has. Whatever the file held before is lost.

    :param file: as ``result_file`` gives it.
    :raises InvalidInput: for a scheme without a storage, and where the storage refuses the file.
    """
    write_json(file, {"complete": False}, parameter)


def write_json(file: str, document: Mapping[str, Any], parameter: str) -> str:
    """Write a document as JSON, and return the file.

    :param file: an absolute local path, whose folders are made, or an address with a scheme.
    :param document: what ``json`` can write.
    :param parameter: the parameter's name, for the message.
    :raises InvalidInput: says what the storage has answered.
    """
    # both are heavy, and only tasks that write a result pay for them
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415
    from azure.core.exceptions import AzureError  # noqa: PLC0415

    try:
        _write(ObjectStoragePath(file), json.dumps(document))
    except (OSError, ValueError, ImportError, AzureError) as error:
        raise InvalidInput(
            f"{parameter}: {file!r} cannot be written ({type(error).__name__}: {error}). {_EXPECTED}, and"
            " where the worker may write."
        ) from error
    return file


def whole_of(value: Any) -> Any:
    """Return an XCom's value, and in the place of a report's summary the whole if its file can be read.

    :param value: what a task has left; of a mapped task a list of that.
    """
    if isinstance(value, Mapping) and isinstance(value.get("result_path"), str):
        try:
            whole = _read_json(value["result_path"])
        except InvalidInput as error:
            log.warning("%s", error)
            return value
        return whole if "run_ids" in whole else value
    if isinstance(value, Iterable) and not isinstance(value, str | Mapping):
        return [whole_of(each) for each in value]
    return value


def _read_json(file: str) -> dict[str, Any]:
    """Read what ``write_json`` wrote. :raises InvalidInput: says what the storage has answered."""
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415 - both are heavy
    from azure.core.exceptions import AzureError  # noqa: PLC0415

    try:
        document = json.loads(ObjectStoragePath(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, ImportError, AzureError) as error:
        raise InvalidInput(
            f"result_path: {file!r} cannot be read ({type(error).__name__}: {error}). Expected the file that"
            " another task has written, where this worker may read."
        ) from error
    return document if isinstance(document, dict) else {}


def _write(path: ObjectStoragePath, text: str) -> None:
    if path.protocol in ("", "file"):  # elsewhere folders are part of the name, and mkdir may make a bucket
        path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def summary(result: Mapping[str, Any], problems: Sequence[str], file: str) -> dict[str, Any]:
    """Return what goes to XCom where the whole result is in a file.

    :param result: the whole; its lists of windows, runs and what was left alone stay in the file alone.
    :param problems: a line for each thing that is not as it should be.
    :param file: where the whole is.
    :return: the result without those lists, the number of problems with the first 20, and ``result_path``.
    """
    return {
        **{key: value for key, value in result.items() if key not in {"windows", "runs", "skipped"}},
        "problem_count": len(problems),
        "problems": list(problems[:_MOST_PROBLEMS]),
        "result_path": file,
    }
