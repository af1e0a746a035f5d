# What can be done here; `make` alone lists it. All of it needs Python 3.11 and make, `contract` node as well.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := .contract
INSTALL := -m pip install --quiet --disable-pip-version-check
PYTEST := -m pytest -n auto --dist loadfile
CODE := airflow_provider_adfruns tests example_dags demo stack benchmarks

.DEFAULT_GOAL := help
.PHONY: help install check test test-oldest test-beside wheel chaos recovery cancels contract demo up live live-oldest soak docs bench throttling watching properties format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv with everything pinned in constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --constraint constraints.txt --editable '.[dev]'
	touch $@

check: $(READY) ## ruff, ruff format, mypy --strict, import contracts, GitHub's files against their schemas
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml

test: $(READY) ## the whole test suite
	$(BIN)/python $(PYTEST)

test-oldest: .oldest/.ready ## all that talks to Airflow or the SDK, on the oldest of everything supported
	.oldest/bin/python $(PYTEST) tests/adf tests/batch tests/provider tests/cancels tests/chaos tests/recovery

.oldest/.ready: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .oldest
	.oldest/bin/python $(INSTALL) --constraint constraints-oldest.txt --editable '.[test,live]'
	touch $@

test-beside: .beside/.ready ## that the official Azure provider and this one get on
	.beside/bin/python -m pytest tests/beside

.beside/.ready: pyproject.toml constraints-beside.txt
	$(PYTHON) -m venv .beside
	.beside/bin/python $(INSTALL) --constraint constraints-beside.txt \
		--editable '.[test]' apache-airflow-providers-microsoft-azure
	touch $@

properties: $(READY) ## the property tests on 2,000 other examples each; some minutes
	PROPERTIES=others $(BIN)/python $(PYTEST) -m hypothesis

wheel: $(READY) ## build wheel and source distribution, install the wheel on its own and see that all is there
	rm -rf dist .wheel
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv .wheel
	.wheel/bin/python $(INSTALL) --constraint constraints.txt dist/*.whl pytest
	.wheel/bin/python -P -m pytest --import-mode=importlib --confcutdir=tests/wheel tests/wheel

chaos: $(READY) ## 200 nights of 300 windows under faults and kills, and beside them the blind loop
	$(BIN)/python -m tests.chaos --seeds 200 --windows 300 --blind 20

recovery: $(READY) ## 200 nights of 60 windows, of which stuck ones are recovered under faults and deaths
	$(BIN)/python -m tests.recovery --seeds 200 --windows 60

cancels: $(READY) ## 100 cancels of trees of 400 runs that go wrong, the sensor's verdict beside the truth
	$(BIN)/python -m tests.cancels --seeds 100

contract: $(READY) $(CLIENTS)/sdk9/.ready $(CLIENTS)/sdk1/.ready $(CLIENTS)/npm/.ready ## let other SDKs drive the emulator
	$(BIN)/python -m tests.contract.clients --home $(CLIENTS)

$(CLIENTS)/sdk%/.ready: tests/contract/clients/sdk%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) --requirement $<
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

live: $(READY) ## users and bad days in a real Airflow, judged by the journal; some 10 minutes
	$(BIN)/python -m tests.live

live-oldest: .oldest/.ready ## the same on the oldest Airflow, which has no task state and tells no trigger of a kill
	.oldest/bin/python -m tests.live

soak: $(READY) ## 200 deferred tasks in one triggerer for 10 minutes: its loop, memory and connections
	$(BIN)/python -m tests.live.soak --tasks 200 --minutes 10

docs: .docs/.ready ## build the documentation into site/; a link that leads nowhere fails
	.docs/bin/zensical build --strict --clean

.docs/.ready: constraints-docs.txt
	$(PYTHON) -m venv .docs
	.docs/bin/python $(INSTALL) --requirement $<
	touch $@

bench: $(READY) ## what importing and discovering the provider cost
	$(BIN)/python -m benchmarks.import_time
	$(BIN)/python -m benchmarks.discovery_time

throttling: $(READY) ## 5,000 reruns against limits, and four processes that share one; some 2 minutes
	$(BIN)/python -m benchmarks.throttling

watching: $(READY) ## what watching 1,000 cancelling runs for ten minutes costs; some 2 minutes
	$(BIN)/python -m benchmarks.watching

format: $(READY) ## let ruff format and mend
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean: ## remove what the targets made
	rm -rf $(VENV) $(CLIENTS) .oldest .beside .wheel .docs site .cache dist .demo .stack .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
