# `make help` lists the commands. Each installs what it needs: into .venv, or, where it is the system's, with apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
export PYTHON ?= python3
# Here, too, .env is asked only for what the environment and the command line do not say.
export BACKEND ?= $(shell sed -n 's/^BACKEND=//p' .env 2>/dev/null)

.PHONY: help local dev test test-unit load load-baseline compare bench mutants lint lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

local: .venv/local $(if $(filter uwsgi,$(BACKEND)),.venv/uwsgi) ## Run the stack without Docker (BACKEND=uwsgi, HTTP_PORT=9000)
	@deploy/require.sh nginx
	@exec .venv/bin/python -m deploy.local

dev: .venv/local $(if $(filter uwsgi,$(BACKEND)),.venv/uwsgi) ## The same, and edits are served at once, with tracebacks in the browser
	@deploy/require.sh nginx
	@exec .venv/bin/python -m deploy.dev

# What cannot be installed here is said, and at the end of the tests again, with those that were not run for it.
test: .venv/test .venv/loadtest ## Run all tests: in process, and over HTTP against both backends, as processes and in Docker
	@deploy/require.sh nginx || true
	@$(MAKE) --no-print-directory --keep-going .venv/uwsgi .venv/conformance || true
	@.venv/bin/pytest --numprocesses 4 --dist loadgroup --cov

test-unit: .venv/test ## Run the tests in process only
	@.venv/bin/pytest tests/unit

.venv/bin/python:
	@deploy/require.sh venv
	$(PYTHON) -m venv .venv

# .venv/GROUP: requirements/GROUP.txt is installed.
.venv/%: requirements/%.txt | .venv/bin/python
	@$(if $(filter uwsgi,$*),deploy/require.sh headers)
	@$(if $(filter conformance,$*),deploy/require.sh headers apache)
	UWSGI_PROFILE_OVERRIDE="xml=false;ssl=false" \
	  .venv/bin/pip install --quiet --disable-pip-version-check $(if $(filter conformance,$*),--no-cache-dir) \
	  --require-hashes --requirement $<
	@touch $@

# locust reads these by itself; unset and empty are the same, and SHAPE has its own users and time (loadtest/shapes.py).
LOAD = $(if $(USERS),LOCUST_USERS=$(USERS)) $(if $(RUN_TIME),LOCUST_RUN_TIME=$(RUN_TIME)) $(if $(SHAPE),LOCUST_SHAPE=$(SHAPE)) \
  $(if $(WORKERS),LOCUST_PROCESSES=$(WORKERS)) $(if $(SCENARIO),LOCUST_USER_CLASSES="$(SCENARIO)") \
  $(if $(OBJECTIVES),LOCUST_OBJECTIVES=$(OBJECTIVES)) $(if $(REPORT),LOCUST_REPORT=$(REPORT)) \
  LOCUST_HOST=$(or $(HOST),http://127.0.0.1:8080)

load: .venv/loadtest ## Load-test the running stack, and hold it to its objectives (SHAPE=ramp USERS=50 RUN_TIME=1m WORKERS=2 HOST=...)
	@exec env $(LOAD) .venv/bin/python -m locust --config loadtest/headless.conf

load-baseline: .venv/loadtest ## Measure what this machine does, RUNS times, to hold later runs against
	@exec env $(LOAD) RUNS=$(RUNS) .venv/bin/python -m loadtest.baseline --config loadtest/headless.conf

compare: .venv/loadtest ## Compare two stacks: A=gunicorn B=uwsgi, settings (A=WEB_THREADS=2), releases (A=ref:HEAD~1); QUICK=1
	@exec env $(foreach name,A B ROUTE ROUNDS SECONDS QUICK DEPLOY APP_CPUS APP_MEMORY REPORT README,$(if $($(name)),$(name)='$($(name))')) \
	  .venv/bin/python -m loadtest.compare

bench: .venv/bench ## Measure a request in process, against frameworks, and a look-up among many routes
	@.venv/bin/python -m bench.in_process
	@.venv/bin/python -m bench.routes

mutants: .venv/mutation ## Change app/ in a thousand places and count the changes that no test notices
	@rm -rf mutants
	@.venv/bin/mutmut run && .venv/bin/mutmut results

lint: .venv/lint ## Run all linters; none may find anything
	.venv/bin/ruff format --quiet --check --diff .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/basedpyright
	.venv/bin/shellcheck .ci/run .ci/*.sh .ci/base-images/*.sh deploy/*.sh
	.venv/bin/hadolint Dockerfile .ci/base-images/Dockerfile
	.venv/bin/compose-lint check --fail-on low docker-compose.yml
	NGINX_LISTEN=8080 .venv/bin/python -c 'from pathlib import Path; from deploy import local; local.lay_out(Path(".local/lint"))'
	.venv/bin/gixy .local/lint/nginx.conf
	.venv/bin/zizmor --quiet --offline --persona pedantic --strict-collection .
	@if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then \
	  for target in gunicorn uwsgi nginx loadtest; do docker build --quiet --check --target $$target .; done; \
	else \
	  echo "not run: docker build --check, for want of a Docker Engine with Buildx"; [[ $${CI:-} != true ]]; \
	fi

lock: .venv/test ## Write requirements/*.txt anew from pyproject.toml
	.venv/bin/pip install --quiet --disable-pip-version-check uv
	for group in $(notdir $(basename $(wildcard requirements/*.txt))); do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	    --custom-compile-command 'make lock' pyproject.toml --group $$group --output-file requirements/$$group.txt; \
	done

clean: ## Remove the virtual environment and what the tools have left
	rm -rf .venv .local .hypothesis .*_cache .coverage mutants
	find . -name __pycache__ -prune -exec rm -rf {} +
