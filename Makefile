PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Marks of what is installed; they are older than pyproject.toml when it has changed.
INSTALLED := $(VENV)/.installed
INSTALLED_TESTS := $(VENV)/.installed-tests
INSTALLED_CHECKS := $(VENV)/.installed-checks
# LOCKED=1 installs what locks/default.txt pins instead of the newest that pyproject.toml allows.
ifdef LOCKED
INSTALLED := $(VENV)/.installed-locked
endif
INSTALLING = @echo "Installing into $(VENV) over the network: about 550 MB, a minute the first time."

# Threads of torch and NumPy that wait sleep: spinning on a busy machine, they slow it down.
run test test-all test-slow soak: export OMP_WAIT_POLICY ?= PASSIVE
# Tests of services wait as much as they compute: three at once keep two cores busy.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) * 3 / 2)))
test test-all: export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(WORKERS)

TYPESCRIPT := clients/typescript
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: audit benchmark check-deploy clean client configuration fuzz fuzz-addresses fuzz-api fuzz-intake \
    help licences lint lock pictures run sbom screenshots setup setup-checks setup-chromium setup-deploy \
    setup-fleet setup-judges setup-node setup-system-tests setup-tests soak \
    test test-all test-slow typescript

## help: print what can be made
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## run: start the gateway, on another port with PORT=number, or protect one picture with IMAGE=path
run: setup
ifdef IMAGE
	$(BIN)/python -m artscraper_runner protect "$(IMAGE)"
else
	$(BIN)/python -m artscraper_gateway$(if $(PORT), --port "$(PORT)")
endif

## test: run the unit and api tests: everything that needs no process of its own (5 minutes)
test: setup-tests
	$(BIN)/python -m pytest -q -m 'unit or api'

## test-all: run every test but fuzzing: also processes, browser, databases, proxies (20 minutes more)
test-all: setup-tests
	$(BIN)/python -m pytest -q

## test-slow: run the tests that take minutes each
test-slow: setup-tests
	$(BIN)/python -m pytest -q -n0 -m slow

## fuzz: try the service with thousands of hostile inputs, the same ones each time (5 minutes)
fuzz: fuzz-addresses fuzz-intake fuzz-api

FUZZ = $(BIN)/python -m pytest -q -s -n0 -m fuzz artscraper_gateway/tests/fuzz

## fuzz-api: try every operation of the OpenAPI description and chains of them, by schemathesis
fuzz-api: setup-tests
	$(FUZZ)/test_api.py

## fuzz-intake: take in 10,000 damaged pictures of every accepted format and 10,000 with hostile
## metadata, in bounded processes, and 1,000 of these over HTTP
fuzz-intake: setup-tests
	$(BIN)/python -m pytest -q -rA --dist worksteal -m fuzz artscraper_gateway/tests/fuzz/test_intake.py

## fuzz-addresses: try 1,000 disguises of addresses that are not public
fuzz-addresses: setup-tests
	$(FUZZ)/test_addresses.py

## setup: make the virtual environment with all that the default job needs; LOCKED=1: as pinned
setup: $(INSTALLED)

setup-tests: $(INSTALLED_TESTS)

## setup-checks: install what checks deploy/ and the lock files; their tests are skipped without it
setup-checks: $(INSTALLED_CHECKS)

## setup-system-tests: install everything that system tests run
setup-system-tests: setup-fleet setup-chromium setup-node setup-deploy setup-judges setup-checks

# $(call apt-install,COMMANDS,PACKAGES): install packages unless all commands are there.
SEARCH := PATH="$$PATH:/usr/sbin:/usr/local/sbin"
apt-install = for each in $(1); do $(SEARCH) command -v $$each >/dev/null || missing=1; done; \
    test -z "$$missing" || { $(AS_ROOT) apt-get update -qq && \
        $(AS_ROOT) apt-get install -y -qq --no-install-recommends $(2); }

## setup-fleet: install PostgreSQL by apt, which tests/fleet starts for itself
setup-fleet:
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { $(call apt-install,initdb,postgresql); }

## setup-chromium: install by apt the browser that tests of the page drive
setup-chromium:
	$(call apt-install,chromium,chromium)

## setup-deploy: install by apt what tests of deploy/ run (Debian starts them as services)
setup-deploy:
	$(call apt-install,nginx caddy promtool php buildah debootstrap ip curl,nginx-light caddy prometheus \
	    php-cli php-curl buildah crun debootstrap iproute2 curl)

## setup-judges: install by apt what judges and edits pictures in tests and benchmarks
setup-judges:
	$(call apt-install,butteraugli convert vips exiftool,butteraugli imagemagick libvips-tools \
	    libimage-exiftool-perl)

## setup-node: install Node.js by apt and what the TypeScript client is made with; skipped without
setup-node: $(TYPESCRIPT)/node_modules/.package-lock.json

$(TYPESCRIPT)/node_modules/.package-lock.json: $(TYPESCRIPT)/package-lock.json
	$(call apt-install,node npm,nodejs npm)
	cd $(TYPESCRIPT) && npm ci --no-audit --no-fund
	touch $@

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Python compiles what it imports when it first does: a fraction of what is installed.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(INSTALLING)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check --editable '.[c2pa,faces]'
	touch $@

# What builds the project is pinned, too, and so is not fetched for it once more.
$(VENV)/.installed-locked: pyproject.toml locks/default.txt | $(BIN)/python
	$(INSTALLING)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r locks/default.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(VENV)/.installed $@

# What checks the supply chain and deploy/, kept out of what the tests' environment resolves.
$(INSTALLED_CHECKS): pyproject.toml $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[checks]'
	touch $@

$(INSTALLED_TESTS): pyproject.toml $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[faces,test]'
	# Two watermark packages are only oracles; what they need of their own is in the test extra.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps invisible-watermark==0.2.0 \
	    stegano==3.0.0 piexif==1.1.3
	touch $@

## lint: ruff, mypy --strict and the layers of the packages
lint: setup-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

## benchmark: print every benchmark's tables
benchmark: setup-tests
	$(BIN)/python benchmarks/service/gateway.py
	$(BIN)/python benchmarks/service/worker_scaling.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/watermark.py
	$(BIN)/python benchmarks/protection.py
	$(BIN)/python benchmarks/files/formats.py

## soak: half an hour of mixed jobs among kills, hangs and outages; nothing is lost or left behind
soak: setup-tests
	$(BIN)/python benchmarks/service/soak.py --minutes 30

## pictures: make the README's pictures anew (needs chromium)
pictures: setup-tests
	$(BIN)/python benchmarks/service/pictures.py

## screenshots: take every screen of the page in both themes (needs chromium)
screenshots: setup-tests
	$(BIN)/python -m artscraper_gateway.tests.web.screenshots screenshots

## lock: pin all that is installed, with hashes, to the newest that pyproject.toml allows
LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command 'make lock'
SERVER := --extra build --extra c2pa --extra faces --extra otel --extra postgres --extra s3
lock: $(INSTALLED_CHECKS)
	$(BIN)/$(LOCK) --upgrade $(SERVER) -o locks/server.txt
	# The same releases in all three: uv keeps those that stand in the file already.
	cp locks/server.txt locks/default.txt
	cp locks/server.txt locks/server-cuda.txt
	$(BIN)/$(LOCK) --extra build --extra c2pa --extra faces -o locks/default.txt
	# onnxruntime-gpu has the same files as onnxruntime, so only one of them may be installed.
	$(BIN)/$(LOCK) $(SERVER) --extra cuda --no-emit-package onnxruntime -o locks/server-cuda.txt

## audit: look for known vulnerabilities of what is pinned (asks a service on the network)
audit: $(INSTALLED_CHECKS)
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement locks/server.txt

## licences: list the licence of every package; fails where one is not allowed
licences: $(INSTALLED_CHECKS)
	$(BIN)/python -m supply_chain.licences locks/default.txt

## sbom: write CycloneDX lists of what is pinned and what is vendored to build/
sbom: $(INSTALLED_CHECKS)
	mkdir -p build
	$(BIN)/cyclonedx-py requirements locks/server.txt --pyproject pyproject.toml \
	    --output-reproducible --output-file build/sbom.cdx.json
	cp supply_chain/vendored.cdx.json build/

## check-deploy: look at everything in deploy/ with its linter; skipped loudly where that is missing
check-deploy: setup-tests setup-checks
	$(BIN)/python -m pytest -q -n0 -rs tests/deploy

## typescript: generate the TypeScript client's types from the OpenAPI description, and compile it
typescript: setup setup-node
	$(BIN)/python -c 'import json; from artscraper_gateway import create_app; \
	    print(json.dumps(create_app().openapi()))' > $(TYPESCRIPT)/openapi.json
	cd $(TYPESCRIPT) && npm run generate && npm run build

## client: generate the synchronous Python client from the asynchronous one
client: setup-tests
	$(BIN)/python scripts/generate_sync_client.py

## configuration: write docs/configuration.md from the settings
configuration: setup
	$(BIN)/python scripts/settings_reference.py

clean:
	rm -rf $(VENV) build *.egg-info
