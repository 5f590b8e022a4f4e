PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin

.DEFAULT_GOAL := help
.PHONY: help up down test test-all lint bench requirements base dev

# Show this list
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z-]+:/{if(text){split($$1,name,":");printf "%-14s%s\n",name[1],text}} !/^# /{text=""}' Makefile

# Install and run everything; PAYFLOW_PORT moves it from port 8000, Ctrl-C stops it
up: base
	@$(BIN)/python manage.py up

# Stop what `make up` has started, from another terminal
down: base
	@$(BIN)/python manage.py down

# Run the core tests (about 6 minutes on 2 cores; a third process uses what the others wait)
test: dev
	@$(BIN)/python -m pytest -n 3 -m "not slow and not kill"

# Run all tests, the long ones and the kill tests too
test-all: dev
	@$(BIN)/python -m pytest -n 2 -m "not kill"
	@PAYFLOW_KILLS=25 $(BIN)/python -m pytest -m kill

# Check style, types and layers
lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports

# Run the benchmarks; each prints one JSON object as its last line
bench: dev
	@for script in $(addprefix bench/,parse.py scrub.py rules.py distinct.py latency.py pipeline.py sources.py); do echo "== $$script"; $(BIN)/python $$script --json || exit 1; done

# Compile requirements/*.in to pinned lists
requirements: dev
	@cd requirements && ../$(BIN)/uv pip compile -q --no-header --python-version 3.11 base.in -o base.txt
	@cd requirements && ../$(BIN)/uv pip compile -q --no-header --python-version 3.11 otel.in -o otel.txt
	@cd requirements && ../$(BIN)/uv pip compile -q --no-header --python-version 3.11 azure.in -o azure.txt
	@cd requirements && ../$(BIN)/uv pip compile -q --no-header --python-version 3.11 dev.in -o dev.txt

base dev:
	@PYTHON="$(PYTHON)" .ci/install $@
