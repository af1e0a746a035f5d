"""Where a task writes a result that is too large for XCom, and what it says when it cannot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.results import check_result_path, reserve, result_file, summary, write_json
from tests.provider.tasks import TaskInstance

if TYPE_CHECKING:
    from pathlib import Path

NAME = "dag_id=dag/run_id=manual__1/task_id=task/attempt=1.json"


class Mapped(TaskInstance):
    """One of the task instances of a mapped task, in its second try."""

    map_index, try_number = 3, 2


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_document_is_written_to_a_local_path_whose_folders_are_made(tmp_path: Path, scheme: str) -> None:
    file = f"{scheme}{tmp_path}/some/folder/result.json"
    assert write_json(file, {"counts": {"Succeeded": 2}}, "result_path") == file
    assert json.loads((tmp_path / "some/folder/result.json").read_text()) == {"counts": {"Succeeded": 2}}


def test_a_file_is_taken_as_it_is() -> None:
    assert result_file("s3://bucket/result.json", "result_path", TaskInstance().context) == (
        "s3://bucket/result.json"
    )


@pytest.mark.parametrize("folder", ["/results/", "abfs://me@container/results/"])
def test_in_a_folder_each_try_has_a_file_of_its_own(folder: str) -> None:
    assert result_file(folder, "result_path", TaskInstance().context) == folder + NAME
    assert result_file(folder, "result_path", Mapped().context) == folder + (
        "dag_id=dag/run_id=manual__1/task_id=task/map_index=3/attempt=2.json"
    )


@pytest.mark.parametrize("path", ["", " ", "None", None, 5, ["/a"], "results/today.json"])
def test_what_is_no_place_is_refused_with_what_was_expected(path: Any) -> None:
    with pytest.raises(InvalidInput, match=r"result_path: .* is not possible. Expected a file, or a folder"):
        check_result_path(path, "result_path")


def test_a_path_object_is_a_place(tmp_path: Path) -> None:
    assert check_result_path(tmp_path, "result_path") == str(tmp_path)


@pytest.mark.parametrize("file", ["nosuch://bucket/result.json", "s3://bucket/result.json"])
def test_a_scheme_without_a_storage_is_named_with_what_was_expected(file: str) -> None:
    with pytest.raises(InvalidInput, match=rf"result_path: '{file}' cannot be written .*Expected a file"):
        reserve(file, "result_path")


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"result_path: .*/file/result.json' cannot be written"):
        reserve(f"{tmp_path}/file/result.json", "result_path")


def test_until_the_result_is_there_the_file_says_that_it_is_not_complete(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    reserve(str(file), "result_path")
    assert json.loads(file.read_text()) == {"complete": False}


def test_a_summary_has_everything_but_the_long_lists_and_the_first_twenty_problems() -> None:
    result = {"trigger_name": "hourly", "run_ids": ["a"], "counts": {"Failed": 1}, "windows": [1], "runs": []}
    problems = [f"window {number}" for number in range(25)]
    assert summary(result, problems, "/result.json") == {
        "trigger_name": "hourly",
        "run_ids": ["a"],
        "counts": {"Failed": 1},
        "problem_count": 25,
        "problems": problems[:20],
        "result_path": "/result.json",
    }
