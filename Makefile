# Every target makes the environment it needs. PYTHON names the interpreter to make it with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SEEDS ?= 3

# One thread a process: the runs are many, and a fixed number keeps every rounding the same.
export OMP_NUM_THREADS := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup demo test faults full-size check format study bench bench-data peers real-check gpu-check foundation clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(READY) ## Make .venv with everything the other targets need.

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## Train and compare the three branches on the embedded default (no GPU, no downloads).
	HF_HUB_OFFLINE=1 $(BIN)/harness compare --seeds $(SEEDS)

test: $(READY) ## Run the tests: CPU, offline, 6 to 23 minutes on two cores, as seen on two machines.
	$(BIN)/python -m pytest -n 2 --dist worksteal

faults: $(READY) ## Kill runs, comparisons and sweeps at random moments, fill a disk (half an hour).
	$(BIN)/python -m pytest -m faults

full-size: $(READY) ## Run the tests that take true sizes: half an hour, 20 GB of disk and of memory.
	$(BIN)/python -m pytest -m slow

check: $(READY) ## Lint, formatting and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## Write the formatting that check asks for.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

study: $(READY) ## Simulate what the verdict claims (ten minutes on two cores; FULL=1: 20,000 a cell).
	PYTHONPATH=. $(BIN)/python benchmarks/study.py $(if $(FULL),--full)

bench: $(READY) ## One table of speed, and its figure (a quarter of an hour on two idle cores, 18 GB of memory).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.speed

bench-data: $(READY) ## Growth of cleaning, reading of the cache, bookkeeping of a sweep (tens of minutes, 10 GB of disk).
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	$(BIN)/python benchmarks/data_cleaning.py --out benchmarks/results/data_cleaning.json
	$(BIN)/python benchmarks/feature_cache.py --out benchmarks/results/feature_cache.json
	$(BIN)/python benchmarks/sweep_bookkeeping.py --out benchmarks/results/sweep_bookkeeping.json

peers: $(READY) ## Hold encoders and scorers against the published packages (6 GB once, then minutes).
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.peers

real-check: $(READY) ## Real recordings, photographs and encoders through the pipeline (85 MB once, minutes; Debian).
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks.real_check

gpu-check: $(READY) ## Check and time every branch on this machine's GPU, with random weights (ten minutes).
	HF_HUB_OFFLINE=1 $(BIN)/python benchmarks/gpu_check.py

foundation: $(READY) ## Rebuild the embedded models from nothing into build/foundation (hours on a CPU).
	$(BIN)/python -m core.embedded.recipes.build --out build/foundation

clean: ## Remove the environment and build outputs; results/ stays.
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
