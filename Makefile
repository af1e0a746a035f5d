# What can be done here; `make` alone lists it. All of it needs Python 3.11 and make, `contract` node as well.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := .contract
CODE := airflow_provider_adfruns tests example_dags demo stack benchmarks

.DEFAULT_GOAL := help
.PHONY: help install check test chaos contract demo up live soak bench format clean

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

chaos: $(READY) ## 200 nights of 300 windows under faults and kills, and beside them the blind loop
	$(BIN)/python -m tests.chaos --seeds 200 --windows 300 --blind 20

contract: $(READY) $(CLIENTS)/sdk9/.ready $(CLIENTS)/sdk1/.ready $(CLIENTS)/npm/.ready ## let other SDKs drive the emulator
	$(BIN)/python -m tests.contract.clients --home $(CLIENTS)

$(CLIENTS)/sdk%/.ready: tests/contract/clients/sdk%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(CLIENTS)/npm/.ready: tests/contract/clients/package.json tests/contract/clients/package-lock.json
	command -v npm >/dev/null || apt-get install --yes --quiet nodejs npm
	mkdir -p $(@D) && cp $^ $(@D)
	npm ci --prefix $(@D) --no-audit --no-fund --loglevel=error
	touch $@

demo: $(READY) ## watch Airflow cancel and rerun runs of a local factory, checked against its journal
	$(BIN)/python -m demo

up: $(READY) ## Airflow's UI on localhost with the example DAGs and a local factory; Ctrl-C ends everything
	$(BIN)/python -m stack

live: $(READY) ## users and bad days in a real Airflow, judged by the factory's journal; about 8 minutes
	$(BIN)/python -m tests.live

soak: $(READY) ## 200 deferred tasks in one triggerer for 10 minutes: its loop, memory and connections
	$(BIN)/python -m tests.live.soak --tasks 200 --minutes 10

bench: $(READY) ## what importing costs
	$(BIN)/python -m benchmarks.import_time

format: $(READY) ## let ruff format and mend
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean: ## remove what the targets made
	rm -rf $(VENV) $(CLIENTS) .demo .stack .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
