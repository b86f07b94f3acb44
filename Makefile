.DEFAULT_GOAL := help
.PHONY: help env quickstart test test-slow test-gpu lint format lock clean
PYTHON ?= python3
BIN := .venv/bin
# Tests run in parallel processes; two OpenMP threads each on two cores would fight (10 times slower).
TEST_ENV := OMP_NUM_THREADS=1 WANDB_MODE=offline

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.done: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q uv
	VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps -e .
	@touch .venv/.done

env: .venv/.done ## make the environment in .venv

quickstart: env ## train a small network on synthetic scenes
	$(BIN)/python -m vfi_train experiment=quickstart

test: env ## the tests
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not slurm and not gpu"

test-slow: env ## the tests that take minutes each
	$(TEST_ENV) $(BIN)/python -m pytest -m slow

test-gpu: env ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

lint: env ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: env ## renew requirements.lock (exact versions and hashes, no registry host)
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra slurm --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock

clean: ## remove caches, not runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
