# Needs make and Python >= 3.11 (with its venv module); everything else is installed into .venv.
.DEFAULT_GOAL := help
# The distribution's interpreter first: it is built with optimisations, which is worth a third of all CPU time here,
# and those that version managers build often are not.
PYTHON ?= $(shell for p in /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
# `kill -9` of make ends the cluster, too; elsewhere than on Linux only that of `comet dev` does.
GUARD := $(if $(filter Linux,$(shell uname)),$(BIN)/python -m comet.guard $$PPID)

.PHONY: help dev test check compiled wheel openapi lock sbom client test-system fuzz soak bench bench-all bench-compare bench-million clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 22

dev: .venv/installed ## run Valkey, a publisher and two edges here; Ctrl-C ends them
	@exec $(GUARD) $(BIN)/comet dev

test: .venv/installed ## run the tests that need nothing but Python packages
	$(BIN)/pytest -m 'not system'

check: .venv/installed ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

compiled: .venv/installed ## compile the hot paths in place with mypyc; `make clean` undoes it
	@$(BIN)/python compile_hot.py

wheel: .venv/installed ## build a wheel with the compiled hot paths into dist/
	HOT_PATHS=compiled $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--wheel-dir dist .

openapi: .venv/installed ## write docs/openapi*.yaml as the JSON that the processes serve; it is committed
	$(BIN)/python openapi_json.py

# What is there stays, if it still fits: `make lock UPGRADE=--upgrade` takes the newest.
LOCK := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command 'make lock' $(UPGRADE)
lock: .venv/release ## pin what the product needs and what builds it, with hashes: requirements*.lock; they are committed
	$(BIN)/$(LOCK) --extra uvloop --output-file requirements.lock pyproject.toml
	$(BIN)/python -c "import tomllib; whole = tomllib.load(open('pyproject.toml', 'rb')); \
		print(*whole['build-system']['requires'], *whole['project']['optional-dependencies']['compiled'], sep='\n')" \
		| $(BIN)/$(LOCK) --constraints requirements.lock --output-file requirements-build.lock -

SBOM := dist/comet-cluster.cdx.json
sbom: .venv/release ## list what requirements.lock names in dist/comet-cluster.cdx.json (CycloneDX)
	@mkdir -p $(dir $(SBOM))
	$(BIN)/python -W ignore::UserWarning -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
		--of JSON --output-file $(SBOM) requirements.lock

test-system: .venv/system clients/js/node_modules ## run the tests that need Debian packages (see .ci/run)
	@$(BIN)/pytest -m system || { code=$$?; [ $$code = 5 ] && echo 'there are no system tests yet'; exit $$(( code == 5 ? 0 : code )); }

client: clients/js/node_modules ## build and test the browser client; its built files are committed
	cd clients/js && npm run --silent check && npm run --silent build && npm test --silent

clients/js/node_modules: clients/js/package-lock.json
	cd clients/js && npm ci --silent
	@touch $@

fuzz: .venv/system ## look for inputs that do harm, all targets in turn: make fuzz MINUTES=60
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10)

soak: .venv/installed ## break everything at random for a while: make soak SECONDS=600 SEED=7
	$(BIN)/python -m tests.faults.soak --seconds $(or $(SECONDS),60) $(and $(SEED),--seed $(SEED))

bench: .venv/bench ## measure memory per connection and CPU per delivery, beside other servers
	$(BIN)/python -m bench.held $(BENCH)

bench-all: .venv/bench ## all benchmarks but bench-million, in 40 minutes: make bench-all BENCH=--strict
	$(BIN)/python -m bench.all $(BENCH)

bench-compare: .venv/bench ## CPU and memory of this checkout beside another commit's: make bench-compare BASE=HEAD~1
	$(BIN)/python -m bench.compare $(and $(BASE),--base $(BASE)) $(BENCH)

bench-million: .venv/bench ## hold a million connections on this machine
	$(BIN)/python -m bench.million $(BENCH)

clean: ## remove everything that was made here, compiled modules too
	find . -path ./.venv -prune -o -path ./clients/js/node_modules -prune -o -name '*.so' -exec rm -f {} +
	rm -rf .venv clients/js/node_modules build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/installed: pyproject.toml
	@test -n '$(PYTHON)' || { echo 'no Python >= 3.11 with its venv module found; install one (Debian: python3-venv) or run make PYTHON=/path/to/python' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.venv/system: .venv/release
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[system,bench]'
	@touch $@

.venv/release: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[release]'
	@touch $@

.venv/bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@
