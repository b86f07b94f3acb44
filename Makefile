.DEFAULT_GOAL := help
.PHONY: help env quickstart test test-slow test-long test-slurm test-app test-gpu bench-gpu app docs lint format lock clean
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
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and not long"

test-long: env ## slow tests that CI has no time for: every recipe's step on a simulated GPU
	$(TEST_ENV) $(BIN)/python -m pytest -n 2 --dist worksteal -m long

test-slurm: env ## jobs on a SLURM cluster of one node, which it installs (root, apt-get) and starts: 3 minutes
	$(BIN)/python -m tests.helpers.slurm_cluster
	$(TEST_ENV) timeout 900 $(BIN)/python -m pytest -m slurm tests/slurm

test-app: .venv-app/.done ## the page in a browser, in an environment of its own (needs Chromium and its driver)
	$(TEST_ENV) .venv-app/bin/python -m pytest -m slow tests/app/test_app_browser.py

test-gpu: env ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

bench-gpu: env ## every benchmark of a CUDA device, in under ten minutes: benchmarks/RESULTS_GPU.md
	$(BIN)/python -m benchmarks.gpu

.venv-app/.done: requirements-app.lock pyproject.toml | env
	$(PYTHON) -m venv .venv-app
	VIRTUAL_ENV=.venv-app $(BIN)/uv pip install -q --compile-bytecode --require-hashes -r requirements-app.lock
	VIRTUAL_ENV=.venv-app $(BIN)/uv pip install -q --no-deps -e .
	@touch .venv-app/.done

app: .venv-app/.done ## a local page to try networks on images and videos
	.venv-app/bin/python -m vfi_train.app

docs: env ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: env ## ruff, mypy and the arrows between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: env ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header

lock: env ## renew requirements*.lock (exact versions and hashes, no registry host)
	$(BIN)/uv $(LOCK) --extra dev --extra slurm -o requirements.lock
	$(BIN)/uv $(LOCK) --extra browser -o requirements-app.lock # Gradio wants an older Pillow

clean: ## remove caches, not runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
