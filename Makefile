PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Marks of what is installed; they are older than pyproject.toml when it has changed.
INSTALLED := $(VENV)/.installed
INSTALLED_TESTS := $(VENV)/.installed-tests

TYPESCRIPT := clients/typescript
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: run test test-slow setup setup-tests setup-fleet setup-chromium lint benchmark screenshots configuration typescript \
    setup-node clean

## run: start the gateway, or protect one picture with IMAGE=path
run: setup
ifdef IMAGE
	$(BIN)/python -m artscraper_runner protect "$(IMAGE)"
else
	$(BIN)/python -m artscraper_gateway
endif

## test: run the whole suite
test: setup-tests
	$(BIN)/python -m pytest -q

## test-slow: run the tests that take minutes
test-slow: setup-tests
	$(BIN)/python -m pytest -q -m slow

## setup: make the virtual environment with all that the default job needs
setup: $(INSTALLED)

setup-tests: $(INSTALLED_TESTS)

## setup-fleet: install PostgreSQL by apt, which tests/fleet starts for itself; skipped without it
setup-fleet:
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { \
	    $(AS_ROOT) apt-get update -qq && $(AS_ROOT) apt-get install -y -qq postgresql; }

## setup-chromium: install the browser by apt that tests of the page drive; skipped without it
setup-chromium:
	command -v chromium >/dev/null || { \
	    $(AS_ROOT) apt-get update -qq && $(AS_ROOT) apt-get install -y -qq chromium; }

## setup-node: install Node.js by apt and what the TypeScript client is made with; skipped without
setup-node: $(TYPESCRIPT)/node_modules/.package-lock.json

$(TYPESCRIPT)/node_modules/.package-lock.json: $(TYPESCRIPT)/package-lock.json
	{ command -v node && command -v npm; } >/dev/null || { \
	    $(AS_ROOT) apt-get update -qq && $(AS_ROOT) apt-get install -y -qq nodejs npm; }
	cd $(TYPESCRIPT) && npm ci --no-audit --no-fund
	touch $@

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[c2pa,faces]'
	touch $@

$(INSTALLED_TESTS): pyproject.toml $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[faces,test]'
	# The upstream watermark package is only an oracle; its own needs are in the test extra.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps invisible-watermark==0.2.0
	touch $@

## lint: ruff and mypy --strict
lint: setup-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## benchmark: print every benchmark's tables
benchmark: setup-tests
	$(BIN)/python benchmarks/gateway.py
	$(BIN)/python benchmarks/worker_scaling.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/watermark.py
	$(BIN)/python benchmarks/protection.py

## screenshots: take every screen of the page in both themes (needs chromium)
screenshots: setup-tests
	$(BIN)/python -m artscraper_gateway.tests.web.screenshots screenshots

## typescript: make the TypeScript client from the OpenAPI description, and compile it
typescript: setup setup-node
	$(BIN)/python -c 'import json; from artscraper_gateway import create_app; \
	    print(json.dumps(create_app().openapi()))' > $(TYPESCRIPT)/openapi.json
	cd $(TYPESCRIPT) && npm run build

## configuration: write docs/configuration.md from the settings
configuration: setup
	$(BIN)/python -m artscraper_gateway.settings_reference

clean:
	rm -rf $(VENV) build *.egg-info
