# What can be done here; `make` alone lists it. All of it needs Python 3.11 and make, and nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := airflow_provider_adfruns tests example_dags demo benchmarks

.DEFAULT_GOAL := help
.PHONY: help install check test demo bench format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv with everything pinned in constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

check: $(READY) ## ruff, ruff format, mypy --strict, import contracts
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(READY) ## the whole test suite
	$(BIN)/python -m pytest

demo: $(READY) ## watch Airflow cancel and rerun runs of a local factory, checked against its journal
	$(BIN)/python -m demo

bench: $(READY) ## what importing costs
	$(BIN)/python -m benchmarks.import_time

format: $(READY) ## let ruff format and mend
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean: ## remove what the targets made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
