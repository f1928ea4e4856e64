# Everything here needs python3 and make, nothing else: uv is fetched into .tools, and the rest into .venv.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := $(UV) run --frozen --no-sync
# Files of tests side by side; what weighs a sandbox's CPU time runs alone.
BESIDE ?= -n 2 --dist loadfile

# Containers often forbid byte code; without it every start compiles MLflow anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo skab check lint test unit integration faults faults-all recovery soak verdicts bench bench-quick bench-sandbox contracts clean
.DEFAULT_GOAL := help

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: .venv/ready ## Install the project with everything it needs into .venv

.tools/bin/uv:
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/ready: pyproject.toml uv.lock $(if $(findstring .tools,$(UV)),.tools/bin/uv)
	$(UV) sync --frozen --compile-bytecode
	@touch .venv/ready

demo: setup ## A simulated plant, two start-ups, three candidates, live to verdicts (DATA=<SKAB folder>: real bench data)
	$(RUN) fieldproof demo $(if $(DATA),--data $(DATA))

skab: setup ## Three published detectors on all of SKAB through the whole platform (DATA=<SKAB folder>)
	$(RUN) fieldproof skab --data $(DATA)

lint: setup ## Style, types, directions of imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

unit: setup ## The fast tests
	$(RUN) pytest $(BESIDE) tests/unit

integration: setup ## The tests against a real broker, MLflow and sandbox
	$(RUN) pytest tests/contract
	$(RUN) pytest $(BESIDE) tests/integration

# The 10,000 damaged messages take longer than all the rest.
FAULTS := tests/faults --ignore tests/faults/test_mutations.py

faults: setup ## The tests that kill and break things, as far as they fit ten minutes
	$(RUN) pytest $(FAULTS)

faults-all: setup ## All of it: the kill test over SEEDS seeds (hours; resumable; the last line is JSON)
	$(RUN) pytest tests/faults
	$(RUN) python -m tests.faults.kills --seeds $(or $(SEEDS),100) --out $(or $(OUT),.fieldproof/kills.jsonl)

recovery: setup ## How soon outcomes come again after a worker or the broker was killed (nothing is asserted)
	$(RUN) python -m tests.faults.recovery

test: setup ## Every test, those that need no server first
	$(RUN) pytest $(BESIDE) tests/unit
	$(RUN) pytest tests/contract
	$(RUN) pytest $(BESIDE) tests/integration
	$(RUN) pytest tests/faults/test_wounds.py tests/faults/test_kills.py

soak: setup ## A million rows through the platform: what every process holds, and whether the lag returns to zero (ten minutes)
	$(RUN) python -m benchmarks.soak

verdicts: setup ## 2,000 trials a scenario whose truth is known, looked at after every unit (minutes; the last line is JSON)
	$(RUN) python benchmarks/verdicts.py

.venv-bench/ready: pyproject.toml uv.lock $(if $(findstring .tools,$(UV)),.tools/bin/uv)
	UV_PROJECT_ENVIRONMENT=.venv-bench $(UV) sync --frozen --no-dev --group bench
	@touch .venv-bench/ready

bench: setup .venv-bench/ready ## The platform's speed beside the models' own and others' (an hour; nothing is asserted; BENCH=--json)
	$(RUN) python -m benchmarks.speed $(BENCH)

bench-quick: setup .venv-bench/ready ## The base ratios of it in three minutes
	$(RUN) python -m benchmarks.speed --quick $(BENCH)

bench-sandbox: setup ## What the sandbox costs: a frame, a start, and hostile neighbours (15 minutes; nothing is asserted)
	$(RUN) python -m benchmarks.sandbox

real-data: setup ## The decision against detectors that know nothing, on real data (DATA=<folder with skab, nab, ai4i, cmapss>)
	$(RUN) python benchmarks/real_data.py --data $(DATA)

contracts: setup ## Write docs/asyncapi.yaml, docs/schemas and docs/examples anew from the models
	$(RUN) python -m infra.contracts write

check: lint test ## Everything that has to be true before a commit

clean: ## Remove what was installed and built
	rm -rf .venv .venv-bench .tools .fieldproof dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
