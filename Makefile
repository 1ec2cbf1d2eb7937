# One file of verbs. `make` alone lists them. Needs Python 3.11 and make, nothing else.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The interpreter named above, or whichever python3 there is (the version is checked below).
BASE := $(shell command -v $(PYTHON) || command -v python3 || command -v python)

.DEFAULT_GOAL := help
.PHONY: help run test lint soak bench clean

help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(READY) ## play the bundled sample day on the paper broker
	@$(BIN)/python -m fsm_trader session.yaml

test: $(READY) lint ## every check and every test
	$(BIN)/python -m pytest -q -n 2 -m "not soak"

lint: $(READY) ## style, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

soak: $(READY) ## long sweeps: the same properties, many more examples
	FSM_TRADER_SOAK=1 $(BIN)/python -m pytest -q -n 2

bench: $(VENV)/.bench ## the measured figures, each beside its reference
	$(BIN)/python benchmarks/run.py

clean: ## remove what was installed and built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@test -n "$(BASE)" || { echo "no python3 here; expected Python 3.11 or later"; exit 1; }
	@$(BASE) -c 'import sys; sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}; expected 3.11 or later" if sys.version_info < (3, 11) else 0)'
	$(BASE) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

# What some figures stand beside. Without it they say that they were not measured.
$(VENV)/.bench: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]' \
	  && touch $@ || echo "dbos could not be installed: its figures will not be measured"
