# Everything this repository does, in two commands: `make demo` and `make test`. Both set up what they need.
PYTHON ?= python3
WORKERS ?= 2
PY := .venv/bin/python
OOT_HUD := $(PY) -m oot_ops
export PYTHONPATH := $(CURDIR):$(CURDIR)/scripts
PIP_INSTALL := .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r
.DEFAULT_GOAL := help
.PHONY: help demo smoke up down test lint unit bench schema dist audit lock setup clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Take one real result from a job to the dashboard, and stay up (JUNIT=glob: your own reports)
	@$(OOT_HUD) demo $(if $(JUNIT),--junit '$(JUNIT)') $(ARGS)

smoke: setup ## The demo as a check: exits 0 only if the result was read back from ClickHouse
	@$(OOT_HUD) demo --exit $(if $(JUNIT),--junit '$(JUNIT)') $(ARGS)

up: setup ## Run the local stack in the foreground (ARGS='--hud-port 8080')
	@$(OOT_HUD) up $(ARGS)

down: setup ## Stop a stack that runs elsewhere
	@$(OOT_HUD) down $(ARGS)

test: lint unit ## Every check and every test

lint: setup ## ruff, mypy, the map of imports, actionlint, zizmor and the schemas of workflows and actions
	$(PY) -m ruff check .
	$(PY) -m ruff format --check --quiet .
	$(PY) -m mypy
	$(PY) -m mypy --python-version 3.10 scripts/oot_runner scripts/*.py # the oldest that mypy knows; the runner's is 3.8
	.venv/bin/vermin --quiet --no-tips --violations --target=3.8- scripts/oot_runner scripts/*.py
	.venv/bin/lint-imports --no-logo
	$(PY) -m oot_local.node node .ci/lint-workflows.mjs
	.venv/bin/zizmor --offline --no-progress --quiet --persona pedantic .github actions
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-actions actions/*/action.yml
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

unit: setup ## The tests alone (ARGS='-k merge'; COVERAGE=1 tells which lines they run)
	@mkdir -p .local
	$(PY) -m pytest --numprocesses $(WORKERS) $(if $(COVERAGE),--cov --cov-report=term $(if $(GITHUB_STEP_SUMMARY),--cov-report=markdown-append:$(GITHUB_STEP_SUMMARY))) $(ARGS)

bench: setup ## Measure the design's budgets on this machine (ARGS=--quick)
	@$(PY) -m benchmarks $(ARGS)

schema: setup ## Write the JSON Schemas of the wire contract to docs/schema
	$(OOT_HUD) export-schema docs/schema

dist: setup .venv/release/.installed ## Build a release into dist/: source, wheel, Lambda zip, SBOM, checksums (ARGS='--tag v0.1.0')
	@$(PY) -m oot_ops.build_release --cyclonedx .venv/release/bin/cyclonedx-py $(ARGS)

audit: .venv/release/.installed ## Look our locked packages up in the public lists of vulnerabilities (needs the internet)
	.venv/release/bin/pip-audit --disable-pip --require-hashes --progress-spinner off -r requirements.txt -r requirements-dev.txt

lock: ## Lock the newest versions that pyproject.toml and package.json allow
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv
	for lock in "requirements-dev.txt pyproject.toml --all-extras --group dev" "requirements.txt pyproject.toml --all-extras -c requirements-dev.txt" \
			"requirements-build.txt --group build -c requirements-dev.txt" "requirements-node.txt --group node" "requirements-release.txt --group release"; do \
		.venv/lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
			--upgrade --no-annotate --custom-compile-command "make lock" -o $$lock || exit 1; done
	.venv/lock/bin/uv pip compile --python-version 3.8 --group python38 --generate-hashes --no-emit-index-url --quiet \
		--upgrade --no-annotate --custom-compile-command "make lock" -o requirements-python38.txt
	$(PY) .ci/lock-s3.py
	npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

setup: .venv/.installed node_modules/.installed

.venv/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "oot-hud needs Python 3.11 or newer, and this is " + sys.version.split()[0] + ": call make PYTHON=/path/to/python3.11")'
	@echo "Setting up .venv (about a minute, once) …"
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PIP_INSTALL) requirements-dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/release/.installed: requirements-release.txt | .venv/.installed
	@test -x .venv/release/bin/python || $(PYTHON) -m venv .venv/release
	@.venv/release/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

node_modules/.installed: package-lock.json requirements-node.txt | .venv/.installed
	@$(PY) -m oot_local.node --check >/dev/null 2>&1 || { echo "No Node 20 or newer here: installing the one from its wheel …"; $(PIP_INSTALL) requirements-node.txt; }
	@$(PY) -m oot_local.node npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

clean: ## Remove what make made: .venv, node_modules, .local and caches
	@test ! -e .local/stack.lock || ! $(OOT_HUD) down 2>/dev/null || true
	rm -rf .venv node_modules .local dist .mypy_cache .ruff_cache .hypothesis .pytest_cache
