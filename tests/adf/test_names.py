"""Names and ids: what may become part of a URL, and how a refusal says what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_adfruns.adf.errors import InvalidInput
from airflow_provider_adfruns.adf.names import (
    check_factory_name,
    check_pipeline_name,
    check_resource_group_name,
    check_run_id,
    check_run_ids,
    check_subscription_id,
    check_trigger_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE_RUN = "2f7fdb90-5df1-4b8e-ac2f-064cfa58202b"
TRIGGER_RUN = "08584840394298588566218403359CU37"
# Mostly what is accepted, with the characters that would address something else among it.
NEARLY = st.text(st.sampled_from("aZ09_-()/.?#%&+: \\\n\r\té\u2028"), max_size=12) | st.text(max_size=12)


def accepts(check: Callable[[object], str], value: object) -> bool:
    try:
        return check(value) == value
    except InvalidInput:
        return False


@pytest.mark.parametrize("run_id", [PIPELINE_RUN, TRIGGER_RUN, "someGuid", "a_b"])
def test_recorded_run_ids_are_accepted(run_id: str) -> None:
    assert check_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", [PIPELINE_RUN, TRIGGER_RUN])
def test_an_id_in_another_case_is_the_same_id(run_id: str) -> None:
    assert check_run_ids([run_id, run_id.upper(), run_id.lower()]) == (run_id,)


@pytest.mark.parametrize(
    "run_id",
    [
        *[
            "",
            " ",
            "a/b",
            "../triggers",
            "a.b",
            "a b",
            "a?b",
            "a#b",
            "a%2fb",
            f"{PIPELINE_RUN}\n",
            "é",
            "a" * 129,
        ],
        *[None, 7, b"abc", ["abc"], f"https://adf.azure.com/en/monitoring/pipelineruns/{PIPELINE_RUN}"],
    ],
)
def test_what_is_no_run_id_is_named_and_an_example_given(run_id: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_run_id(run_id, "reference_pipeline_run_id")
    message = str(refused.value)
    assert message.startswith(f"reference_pipeline_run_id: {run_id!r}")
    assert PIPELINE_RUN in message
    assert TRIGGER_RUN in message


@given(NEARLY)
def test_no_accepted_run_id_holds_what_a_url_reads_as_something_else(text: str) -> None:
    if accepts(check_run_id, text):
        assert not any(each in "/.?#%\\&:" or each.isspace() for each in text)


@pytest.mark.parametrize("check", [check_trigger_name, check_pipeline_name])
@given(name=NEARLY)
def test_no_accepted_name_holds_what_a_url_reads_as_something_else(
    check: Callable[[object], str], name: str
) -> None:
    if accepts(check, name):
        assert not set(name) & set("/.?#%\\&:\r\n")
        assert not name[0].isspace()


@given(NEARLY)
def test_no_accepted_factory_resource_group_or_subscription_leaves_its_place_in_the_url(text: str) -> None:
    for check in (check_factory_name, check_resource_group_name, check_subscription_id):
        if accepts(check, text):
            assert not set(text) & set("/?#%\\ \r\n\t")
            assert text.strip(".") != ""


def test_run_ids_come_back_each_once_in_the_order_given() -> None:
    assert check_run_ids(["b", "a", "b"]) == ("b", "a")


def test_an_empty_list_of_run_ids_says_what_to_do_where_it_is_normal() -> None:
    with pytest.raises(InvalidInput, match=r"run_ids: the list is empty.*ShortCircuitOperator"):
        check_run_ids([])


def test_every_bad_run_id_of_a_list_is_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_run_ids([PIPELINE_RUN, "a/b", None, "c.d"])
    assert [line.split(" is not")[0] for line in str(refused.value).splitlines()] == [
        "run_ids: 'a/b'",
        "run_ids: None",
        "run_ids: 'c.d'",
    ]


@pytest.mark.parametrize("name", ["hourly", "hourly sales", "_x", "9to5", "a" * 260, "größe-1"])
def test_names_as_studio_shows_them_are_accepted(name: str) -> None:
    assert check_trigger_name(name) == check_pipeline_name(name) == name


@pytest.mark.parametrize(
    ("check", "parameter", "value"),
    [
        *[(check_trigger_name, "trigger_name", bad) for bad in ("", "a/b", "a.b", " a", "a" * 261, None, 3)],
        *[(check_pipeline_name, "pipeline_name", bad) for bad in ("", "a?b", "a\n", "-a")],
        *[
            (check_factory_name, "factory_name", bad)
            for bad in ("", "ab", "a" * 64, "a--b", "-abc", "a_bc", None)
        ],
        *[
            (check_resource_group_name, "resource_group_name", bad)
            for bad in ("", "rg.", "a/b", "a" * 91, None)
        ],
        *[
            (check_subscription_id, "subscriptionId", bad)
            for bad in ("", "my-subscription", PIPELINE_RUN + "0")
        ],
    ],
)
def test_a_bad_name_is_refused_with_its_parameter_and_what_was_expected(
    check: Callable[[object], str], parameter: str, value: object
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(value)
    message = str(refused.value)
    assert message.startswith(f"{parameter}: {value!r}")
    assert "Expected" in message


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_factory_name, "night-adf"),
        (check_factory_name, "abc"),
        (check_resource_group_name, "rg.of_(night)-1"),
        (check_subscription_id, "00000000-0000-4000-8000-00000000000F"),
    ],
)
def test_a_good_name_comes_back_unchanged(check: Callable[[object], str], value: str) -> None:
    assert check(value) == value
