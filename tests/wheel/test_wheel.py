"""The wheel, installed in an environment of its own: all is there, nothing more, and Airflow finds it."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tarfile
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_adfruns
from airflow_provider_adfruns.emulator import AdfEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "airflow_provider_adfruns"
INSTALLED = Path(airflow_provider_adfruns.__file__).parent
NAME = "airflow-provider-adfruns"

if INSTALLED == SOURCES:
    pytest.skip(
        "the package is not installed from its wheel; `make wheel` does that", allow_module_level=True
    )

DISCOVERY = f"""
import sys
import importlib_metadata

found = importlib_metadata.distributions
hidden = sys.argv[1:]
importlib_metadata.distributions = lambda: (dist for dist in found() if dist.metadata["Name"] not in hidden)
from airflow.providers_manager import ProvidersManager

providers = ProvidersManager().providers
assert ("{NAME}" in providers) == ("{NAME}" not in hidden)
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give Airflow a home of its own: that of whoever runs this may be set up, or not writable."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith("AIRFLOW")]:
            patch.delenv(name)
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


def airflow(*arguments: str) -> Any:
    """Run one of Airflow's commands, and return its JSON."""
    command = [str(Path(sys.executable).with_name("airflow")), *arguments, "--output", "json"]
    answer = subprocess.run(  # noqa: S603 - this environment's own command
        command, capture_output=True, text=True, check=True
    )
    assert "warn" not in answer.stderr.lower(), answer.stderr
    return json.loads(answer.stdout.splitlines()[-1])


def files(folder: Path) -> set[str]:
    """Return the files below a folder, bytecode aside."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def modules(*hidden: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported once Airflow has looked for providers.

    :param hidden: projects that Airflow is not to see.
    """
    answer = subprocess.run(  # noqa: S603 - this interpreter, and code from above
        [sys.executable, "-W", "ignore", "-c", DISCOVERY, *hidden],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answer.stdout.splitlines()[-1].split())


def test_the_package_is_whole() -> None:
    assert files(INSTALLED) == files(SOURCES)


def test_nothing_is_installed_beside_the_package_but_its_command_and_metadata() -> None:
    tops = {path.parts[0] for path in distribution(NAME).files or () if path.parts[0] != ".."}
    assert tops == {
        "airflow_provider_adfruns",
        f"airflow_provider_adfruns-{airflow_provider_adfruns.__version__}.dist-info",
    }


def test_the_licence_travels_along() -> None:
    assert any(path.name == "LICENSE" for path in distribution(NAME).files or ())


def test_the_source_distribution_has_package_tests_and_docs_and_no_more() -> None:
    (path,) = (ROOT / "dist").glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    package = {name.partition("/")[2] for name in names if name.startswith("airflow_provider_adfruns/")}
    assert package == files(SOURCES)
    unasked = {
        "dist",
        "build",
        ".git",
        ".venv",
        ".ci",
        ".github",
        ".wheel",
        ".oldest",
        ".beside",
        ".contract",
    }
    assert {name.partition("/")[0] for name in names} & unasked == set()


def test_every_module_can_be_imported() -> None:
    found = [
        each.name for each in pkgutil.walk_packages([str(INSTALLED)], prefix="airflow_provider_adfruns.")
    ]
    assert [import_module(name).__name__ for name in found] == found


def test_the_emulator_starts_with_the_scenario_that_comes_along() -> None:
    with AdfEmulator(INSTALLED / "emulator" / "scenarios" / "night.yaml") as emulator:
        assert emulator.trigger_runs()


def test_airflow_lists_the_provider() -> None:
    assert NAME in {each["package_name"] for each in airflow("providers", "list")}


def test_airflow_tells_of_the_provider() -> None:
    (told,) = airflow("providers", "get", NAME)
    assert (told["Provider"], told["Version"]) == (NAME, airflow_provider_adfruns.__version__)


@pytest.mark.parametrize("kind", ["hooks", "links", "triggers"])
def test_airflow_finds_what_the_provider_brings(kind: str) -> None:
    assert "airflow_provider_adfruns" in json.dumps(airflow("providers", kind))


def test_discovery_imports_the_metadata_and_nothing_else() -> None:
    assert modules() - modules(NAME) == {
        "airflow_provider_adfruns",
        "airflow_provider_adfruns.provider_info",
    }
