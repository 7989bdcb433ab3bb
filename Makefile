# Every target does its own set-up: a virtual environment in $(VENV), the project installed in it
# editable with the exact versions of constraints.txt. The set-up is done again when pyproject.toml
# or constraints.txt change, and is instant otherwise.
#
#   make demo [ARGS=--json]     make test [ARGS="tests/wire -k fuzz"]     make bench [ARGS=...]
#   make bench-wire             make fuzz [ARGS="messages --inputs 1000000"]
#   make lint                   make format          make coverage            make clean
#
# Needs Python 3.11 or newer with its venv module; on Debian: apt install make python3-venv

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint format bench bench-wire fuzz clean

PYTHON := python3
VENV := .venv
EXTRAS := dev
ARGS :=
# Two, as most of the small machines that this is for have at least that many cores.
TEST_WORKERS := 2

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
RUNTIME_READY := $(VENV)/.dtnode-runtime
DEV_READY := $(VENV)/.dtnode-dev

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,9p'

setup: $(DEV_READY)

# pip, not python, is the target: without python3-venv a venv is left behind that has no pip.
$(BIN)/pip:
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv "$(VENV)" || { \
		echo "Python's venv module is missing. On Debian: apt install python3-venv" >&2; exit 1; }

$(RUNTIME_READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing dtnode into $(VENV) (once; about half a minute)"
	@$(PIP_INSTALL) -e .
	@touch $@

$(DEV_READY): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing dtnode and its tools into $(VENV) (once; a minute or two)"
	@$(PIP_INSTALL) -e ".[$(EXTRAS)]"
	@touch $(RUNTIME_READY) $@

demo: $(RUNTIME_READY)
	@$(BIN)/python -m dtnode.testing.demo $(ARGS)

test: $(DEV_READY)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) $(ARGS)

# Half as long again as the tests alone.
coverage: $(DEV_READY)
	@$(BIN)/python -m pytest -n $(TEST_WORKERS) --cov --cov-report=term:skip-covered $(ARGS)

bench: $(DEV_READY)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-wire: $(DEV_READY)
	@$(BIN)/python -m tests.benchmarks.wire

# The slow suite. atheris has wheels for some Pythons only; without it the inputs are mutated by
# tests/fuzz itself, without looking at what they reach.
fuzz: $(DEV_READY)
	@$(PIP_INSTALL) -e ".[$(EXTRAS),fuzz]" || echo "atheris can't be installed here" >&2
	@$(BIN)/python -m tests.fuzz $(ARGS)

# All of them run, so that one look shows everything; any of them fails the target.
lint: $(DEV_READY)
	@failed=0; \
	check() { echo "== $$*"; "$(BIN)/$$@" || failed=1; }; \
	check ruff check .; \
	check ruff format --check .; \
	check mypy; \
	check pyright --pythonpath "$(BIN)/python"; \
	check lint-imports --no-logo; \
	exit $$failed

format: $(DEV_READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache .import_linter_cache
