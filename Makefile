# Two commands on a fresh machine with Python >= 3.10 and make:
#   make demo    the main job, on a data set it renders itself
#   make check   everything CI runs
# Each makes .venv and installs what it needs; each is safe to repeat.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := pipeline stages targets benchmarks tests
.DEFAULT_GOAL := help

.PHONY: help demo check fix test lowest gpu docs lint format types imports board clean

help:  ## Show this
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.train  ## The main job: render a data set, train, export, quantize, build, verify, gate
	$(BIN)/pipeline run --target cpu --demo

check: $(VENV)/.dev format lint types imports board  ## Everything CI runs
	$(BIN)/pytest

fix: $(VENV)/.dev  ## Mend what a machine can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

test: $(VENV)/.dev  ## The fast tests
	$(BIN)/pytest -m "not slow and not gpu"

lowest: $(VENV)/.dev  ## Pruning and training with the oldest Ultralytics that pyproject.toml allows
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/lowest \
	  "ultralytics==$$(sed -n 's/.*"ultralytics>=\([0-9.]*\),.*/\1/p' pyproject.toml)"
	PYTHONPATH=$(VENV)/lowest $(BIN)/pytest tests/stages/prune tests/stages/train

gpu: $(VENV)/.dev  ## The tests that need an NVIDIA GPU
	$(BIN)/pytest -m gpu

format: $(VENV)/.dev
	$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/.dev
	$(BIN)/ruff check $(CODE)

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

board: $(VENV)/.dev  # what runs on a JetPack 5 board is Python 3.8
	$(BIN)/vermin --quiet --no-tips --target=3.8- --violations --eval-annotations targets

# Stamps, so that a repeat installs nothing. --require-virtualenv: never into a system Python.
$(VENV)/.train: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-virtualenv -e '.[cpu,train]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-virtualenv -e '.[dev]'
	@touch $@ $(VENV)/.train

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Edgebound needs Python 3.10 or newer; name one: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "This Python has no venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

clean:  ## Remove the environment and what tools left
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

docs: $(VENV)/.dev  ## Write what is generated: CLI reference, schema for editors
	$(BIN)/typer pipeline.cli utils docs --name pipeline --title "Command line" --output docs/cli.md
	$(BIN)/python -m pipeline.config > pipeline/pipeline.schema.json
