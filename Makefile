# Every task of the project by one name. `make` lists them.

PYTHON ?= python3
BIN := .venv/bin
PIP_OPTIONS := --quiet --disable-pip-version-check --require-hashes --only-binary :all:
PIP_INSTALL := $(BIN)/python -m pip install $(PIP_OPTIONS)
DEVELOPMENT := SOLROUTER_ENV=$${SOLROUTER_ENV:-development}
# The app reads .env itself, and says what is wrong with it; Flask would break.
OURSELVES := FLASK_APP=app.py FLASK_SKIP_DOTENV=1
T ?= tests

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run dev test test-real mutants faults soak bench bench-pages bench-peers lighthouse check lint fix migration reset stream lock licences sbom audit clean

help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

setup: .venv/installed ## Install what the server needs into .venv

run: setup ## Migrate, seed and serve on PORT (default 8000)
	@export $(DEVELOPMENT) $(OURSELVES); \
	$(BIN)/python -m flask db upgrade && \
	SOLROUTER_WELCOME="$$($(BIN)/python -m flask demo --before-start)" && export SOLROUTER_WELCOME && \
	exec $(BIN)/python -m gunicorn wsgi:app

stream: ## Stream one answer from a running `make run`: make stream KEY=sr_…
	@curl -N -sS http://localhost:$${PORT:-8000}/v1/chat/completions \
	  -H "Authorization: Bearer $(KEY)" -H "Content-Type: application/json" \
	  -d '{"model": "demo/echo", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

reset: ## Forget the development database and its secret
	rm -rf instance

##@ Develop

setup-dev: .venv/installed-dev .node/installed ## Install what the tests need too

dev: setup-dev ## Serve with fake upstreams, GitHub and Stripe beside, reloading
	@export $(DEVELOPMENT); $(BIN)/python -m tools.dev

test: setup-dev ## Run the whole suite; make test T=tests/services for a part
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not real and not mutants" $(T)

test-real: setup-dev .venv-real/installed .venv-fuzz/installed .venv-stripe/installed .venv-supply/installed ## Test against llama.cpp's own server (downloads 132 MB), localstripe, by schemathesis and pip-audit
	$(BIN)/python -m pytest -m real $(T)

mutants: setup-dev ## Plant bugs in a copy of the ledger: the tests must notice each
	$(BIN)/python -m pytest -m mutants -n 2 tests/services/test_mutants.py

faults: setup-dev ## Break things under load and prove the money: make faults F="--short --only kill"
	$(BIN)/python -m bench.faults $(F)

soak: setup-dev ## Mixed load for an hour: nothing may leak: make soak S="--short --only aborts"
	$(BIN)/python -m bench.soak $(S)

bench: setup-dev ## Measure the speed beside other programs: make bench B="--short"
	$(BIN)/python -m bench.speed $(B)

bench-pages: setup-dev ## Time every page beside a million completions: make bench-pages P="--completions 100000"
	$(BIN)/python -m bench.pages $(P)

lighthouse: setup-dev .lighthouse/installed ## Judge pages by Lighthouse (installs 190 MB): make lighthouse L="/ @/account"
	$(BIN)/python -m bench.lighthouse $(L)

bench-peers: .bench-peers/litellm/installed .bench-peers/portkey/installed ## Install LiteLLM and Portkey for make bench (800 MB)

lint: setup-dev ## Judge format, style, types and architecture
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports --no-cache

check: lint test mutants test-real audit ## What CI runs

fix: setup-dev ## Mend what a machine can mend
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

migration: setup-dev ## Draft the next migration: make migration N=0002 M="add offer priority"
	$(DEVELOPMENT) $(BIN)/python -m flask db revision --autogenerate --rev-id $(N) -m "$(M)"

lock: ## Pin every requirements*.in with hashes (needs uv)
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 requirements.in -o requirements.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 --no-strip-extras requirements-dev.in -o requirements-dev.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 --no-deps requirements-real.in -o requirements-real.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 requirements-bench.in -o requirements-bench.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 requirements-fuzz.in -o requirements-fuzz.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 requirements-stripe.in -o requirements-stripe.txt
	uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 requirements-supply.in -o requirements-supply.txt

licences: setup-dev ## Write docs/licences.md: the licence of every package that the server needs
	$(BIN)/python -m tools.licences

sbom: .venv-supply/installed .venv-release/installed ## Write sbom.cdx.json: the server's packages as CycloneDX
	.venv-supply/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --output-file sbom.cdx.json .venv-release

audit: .venv-supply/installed ## Ask for known weaknesses of the server's packages, where that can be asked
	.venv-supply/bin/python -m tools.audit_packages requirements.txt

clean: ## Remove everything that was installed or built
	rm -rf .venv .venv-real .venv-fuzz .venv-stripe .venv-supply .venv-release .node .bench-peers .lighthouse .mypy_cache .ruff_cache .pytest_cache htmlcov .coverage

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

.venv-real/installed: requirements-real.txt
	$(PYTHON) -m venv .venv-real
	.venv-real/bin/python -m pip install $(PIP_OPTIONS) --no-deps -r requirements-real.txt
	@touch $@

.venv-stripe/installed: requirements-stripe.txt
	$(PYTHON) -m venv .venv-stripe
	# Its newest version comes as source alone, whose hash is checked like any other.
	.venv-stripe/bin/python -m pip install $(PIP_OPTIONS) --no-binary localstripe -r requirements-stripe.txt
	@touch $@

.venv-fuzz/installed: requirements-fuzz.txt
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install $(PIP_OPTIONS) -r requirements-fuzz.txt
	@touch $@

.venv-supply/installed: requirements-supply.txt
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install $(PIP_OPTIONS) -r requirements-supply.txt
	@touch $@

# Nothing but what a server has.
.venv-release/installed: requirements.txt
	$(PYTHON) -m venv --clear --without-pip .venv-release
	$(PYTHON) -m pip --python .venv-release/bin/python install $(PIP_OPTIONS) -r requirements.txt
	@touch $@

.bench-peers/litellm/installed: requirements-bench.txt
	$(PYTHON) -m venv .bench-peers/litellm
	.bench-peers/litellm/bin/python -m pip install $(PIP_OPTIONS) --no-deps -r requirements-bench.txt
	@touch $@

.bench-peers/portkey/installed: bench/speed/peers/portkey/package.json bench/speed/peers/portkey/package-lock.json
	@if ! command -v npm >/dev/null; then \
	  echo "npm is not on this machine: Portkey will not be measured."; \
	else \
	  mkdir -p .bench-peers/portkey && cp $^ .bench-peers/portkey/ && cd .bench-peers/portkey && \
	  npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null && touch installed; \
	fi

.lighthouse/installed: tools/lighthouse/package.json tools/lighthouse/package-lock.json
	mkdir -p .lighthouse && cp $^ .lighthouse/ && cd .lighthouse && \
	npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null && touch installed

# Without npm nothing is installed and nothing fails: the tests that need Node say that they were skipped.
.node/installed: tools/node/package.json tools/node/package-lock.json
	@if ! command -v npm >/dev/null; then \
	  echo "npm is not on this machine: the JavaScript samples will not be tested."; \
	else \
	  mkdir -p .node && cp $^ .node/ && cd .node && \
	  npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null && touch installed; \
	fi
