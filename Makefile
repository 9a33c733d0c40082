# Every target sets up what it needs by itself: a virtual environment in .venv, installed from .ci/requirements/dev.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# One more than there are processors, since many tests wait for servers; each with one thread for algebra.
WORKERS = $(shell $(PYTHON) -c 'import os; print(1 + (os.cpu_count() or 1))')
PYTEST = OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses $(WORKERS) --dist loadfile
# Hundreds of processes of the program: what is compiled once serves all of them.
unexport PYTHONDONTWRITEBYTECODE
DEMO := build/demo
# Tools of the supply chain, and an environment of what users install.
SUPPLY := build/supply
USERS := build/users
LOCK = build/installer/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url
HASHED = --no-deps --require-hashes --requirement

.DEFAULT_GOAL := help
.PHONY: help environment demo test test-every test-fast fuzz fuzz-guided mutants soak ranges browser-test check bench bench-today golden lock sbom audit tools services clean

help: ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Modules that are compiled where a C compiler is at hand; else they run as they are.
COMPILED := advisor/plan/replay/batching.py

$(READY): pyproject.toml .ci/requirements/dev.txt .ci/compile_hook.py $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	PYTHON=$(PYTHON) bash .ci/install.sh $(VENV) $(HASHED) .ci/requirements/dev.txt
	rm -f $(COMPILED:.py=.*.so) $(COMPILED:.py=__mypyc.*.so)
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=true PYTHON=$(PYTHON) bash .ci/install.sh $(VENV) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q advisor # as installers do, but not where a project stays where it is
	@touch $@

environment: $(READY) ## Install the program and what its tests need into .venv.

demo: $(READY) ## Run the main job on examples/chat and show the result.
	@mkdir -p $(DEMO)
	$(BIN)/advisor recommend examples/chat/workload.yaml
	$(BIN)/advisor recommend examples/chat/workload.yaml --format json --output $(DEMO)/plan.json
	$(BIN)/advisor generate terraform $(DEMO)/plan.json --out $(DEMO)/infra

test: $(READY) tools services ## Run every test; what they need is installed first, where it can be.
	$(PYTEST) --durations 15

test-every: $(READY) tools services ## Run every case of every test, those of other days too: hours.
	ADVISOR_EVERY_CASE=1 ADVISOR_EVERY_STACK=1 ADVISOR_EVERY_WORKLOAD=1 ADVISOR_EVERY_KEY=1 $(PYTEST) --durations 15

test-fast: $(READY) ## Run the tests that take less than ten seconds each.
	$(PYTEST) -m 'not slow'

fuzz: $(READY) ## Give every reader 1,000 damaged documents, others than last time; kill at every change of a file.
	ADVISOR_ATTACK_TRIES=1000 ADVISOR_ATTACK_PLACES=1000 ADVISOR_ATTACK_SEED=$$(date +%s) $(PYTEST) tests/attack

fuzz-guided: build/fuzz/.ready ## Damage documents of every reader for SECONDS (60) each, guided by coverage (atheris).
	build/fuzz/bin/python tests/attack/guided.py $(or $(SECONDS),60)

soak: $(READY) ## Load the listener, the planner and the catalog for SECONDS (1,800) and print memory, descriptors and time.
	$(BIN)/python tests/benchmarks/soak.py $(or $(SECONDS),1800)

ranges: $(SUPPLY)/.ready ## Use the program with the lowest and with the newest versions that pyproject.toml allows.
	bash .ci/ranges.sh build/installer/bin/uv build/ranges

mutants: $(READY) ## Change each line that computes money, memory and capacity, and list the changes that no test finds.
	CI=true OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/mutants/run.py $(MODULES)

browser-test: ## Open pages of plans in Chromium (a Debian package, as root): filters, accessibility, widths.
	bash tests/browser/install.sh
	.verify/browser/bin/python -m pytest --quiet tests/browser

check: $(READY) ## Lint, types, the import contract, and the size of each package.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/house.py
	$(BIN)/python .ci/unused.py

bench: $(READY) ## Print the benchmarks.
	@for program in tests/benchmarks/bench_*.py; do echo "== $$program"; $(BIN)/python $$program; done

bench-today: $(READY) ## Print a tenth of the benchmarks, others every day.
	@ls tests/benchmarks/bench_*.py | awk -v day="$$(( $$(date +%s) / 86400 ))" '(NR + day) % 10 == 0' \
	| while read -r program; do echo "== $$program"; $(BIN)/python $$program; done

golden: $(READY) ## Write the golden files anew; read the difference before you commit it.
	$(BIN)/python -m pytest --quiet tests/codegen tests/plan/test_schema.py --update-golden

build/fuzz/.ready: .ci/requirements/dev.txt
	$(PYTHON) -m venv build/fuzz
	PYTHON=$(PYTHON) bash .ci/install.sh build/fuzz $(HASHED) .ci/requirements/dev.txt
	PYTHON=$(PYTHON) bash .ci/install.sh build/fuzz atheris
	PYTHON=$(PYTHON) bash .ci/install.sh build/fuzz --no-deps --no-build-isolation --editable .
	@touch $@

$(SUPPLY)/.ready: .ci/requirements/supply.txt
	$(PYTHON) -m venv $(SUPPLY)
	PYTHON=$(PYTHON) bash .ci/install.sh $(SUPPLY) $(HASHED) $<
	@touch $@

$(USERS)/.ready: .ci/requirements/users.txt
	$(PYTHON) -m venv $(USERS)
	PYTHON=$(PYTHON) bash .ci/install.sh $(USERS) $(HASHED) $<
	@touch $@

lock: $(SUPPLY)/.ready ## Resolve the lock files anew: .ci/requirements/*.txt.
	$(LOCK) pyproject.toml --extra test --extra lint -o .ci/requirements/dev.txt
	$(LOCK) pyproject.toml --extra audit --extra calibration --extra charts --extra aws --extra serve -o .ci/requirements/users.txt
	$(LOCK) .ci/requirements/supply.in -o .ci/requirements/supply.txt
	echo uv | $(LOCK) - -o .ci/requirements/installer.txt

sbom: $(SUPPLY)/.ready $(USERS)/.ready ## Write build/sbom.json (CycloneDX) and build/licences.txt of what users install.
	$(SUPPLY)/bin/cyclonedx-py environment $(USERS)/bin/python --pyproject pyproject.toml --output-reproducible \
	--of JSON -o build/sbom.json
	$(PYTHON) .ci/requirements/report.py licences build/sbom.json | tee build/licences.txt

audit: $(SUPPLY)/.ready ## Look for known vulnerabilities in what users install; ADVISOR_AUDIT=required fails where that cannot be told.
	@rm -f build/audit.json
	@$(SUPPLY)/bin/pip-audit --require-hashes --disable-pip --progress-spinner off -r .ci/requirements/users.txt \
	--format json --output build/audit.json 2> build/audit.log || true
	@$(PYTHON) .ci/requirements/report.py audit build/audit.json

tools: ## Install the tools that check generated code (Terraform core, linters) into .verify, unless they are there.
	bash tests/iac/install_tools.sh

services: ## Install the servers that samples are tested against (Debian packages, as root), unless they are there.
	bash tests/services/install.sh

clean: ## Remove what the other targets made.
	rm -rf $(VENV) .verify build dist
