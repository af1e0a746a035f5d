"""The clouds, compared with what is publicly known of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_adfruns.adf.clouds import CLOUDS, DEFAULT_CLOUD, Cloud, cloud_named
from airflow_provider_adfruns.adf.errors import InvalidInput

FACTS = Path(__file__).parents[3] / "shared" / "adf-api" / "clouds.json"


def first_address(text: str) -> str:
    """Return the address that a fact begins with; remarks follow it."""
    return text.split(maxsplit=1)[0].rstrip("/")


@pytest.mark.skipif(not FACTS.exists(), reason=f"{FACTS} is not here to compare with")
def test_every_cloud_is_as_the_facts_say() -> None:
    facts: dict[str, dict[str, Any]] = json.loads(FACTS.read_text(encoding="utf-8"))
    expected = {
        name: Cloud(
            name,
            first_address(cloud["arm"]),
            first_address(cloud["authority"]),
            first_address(cloud["audience"]),
            first_address(cloud["portal"]),
            cloud["adf_studio"],
        )
        for name, cloud in facts.items()
    }
    assert expected == CLOUDS


@pytest.mark.parametrize("name", CLOUDS)
def test_a_cloud_is_found_by_its_name_in_any_case(name: str) -> None:
    assert cloud_named(name.upper()) is cloud_named(name.lower()) is CLOUDS[name]


@pytest.mark.parametrize("name", [None, ""])
def test_without_a_name_it_is_the_public_cloud(name: str | None) -> None:
    assert cloud_named(name) is DEFAULT_CLOUD
    assert DEFAULT_CLOUD.arm == "https://management.azure.com"


def test_an_unknown_cloud_is_refused_with_the_names_of_those_known() -> None:
    with pytest.raises(InvalidInput) as refused:
        cloud_named("AzureMars")
    assert "'AzureMars'" in str(refused.value)
    assert all(name in str(refused.value) for name in CLOUDS)


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=str)
def test_a_token_is_asked_for_with_the_clouds_own_audience(cloud: Cloud) -> None:
    assert cloud.scope == f"{cloud.audience}/.default"
    assert not cloud.audience.endswith("/")
