# `make help` lists the commands. Each installs what it needs: into .venv, or, where it is the system's, with apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
export PYTHON ?= python3
# Here, too, .env is asked only for what the environment and the command line do not say.
export BACKEND ?= $(shell sed -n 's/^BACKEND=//p' .env 2>/dev/null)

.PHONY: help local dev deploy rollback releases doctor test test-unit drills bench mutants lint lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

local: .venv/local $(if $(filter uwsgi,$(BACKEND)),.venv/uwsgi) ## Run the stack without Docker (BACKEND=uwsgi, HTTP_PORT=9000)
	@deploy/require.sh nginx
	@exec .venv/bin/python -m deploy.local

dev: .venv/local $(if $(filter uwsgi,$(BACKEND)),.venv/uwsgi) ## The same, and edits are served at once, with tracebacks in the browser
	@deploy/require.sh nginx
	@exec .venv/bin/python -m deploy.dev

deploy: ## Build a release and make it live beside the one that is, losing no request (BACKEND=uwsgi, RELEASE=name)
	@exec $(PYTHON) -m deploy.release deploy

rollback: ## Return to the release that was live before, or to RELEASE=name
	@exec $(PYTHON) -m deploy.release rollback

releases: ## List the releases to return to, and which is live
	@exec $(PYTHON) -m deploy.release releases

doctor: ## Say whether this machine and the settings can run the site, and what to do if not
	@exec $(PYTHON) -m deploy.doctor

# What cannot be installed here is said, and at the end of the tests again, with those that were not run for it.
test: .venv/test ## Run all tests: in process, and over HTTP against both backends, as processes and in Docker
	@deploy/require.sh nginx || true
	@$(MAKE) --no-print-directory --keep-going .venv/uwsgi .venv/conformance || true
	@.venv/bin/pytest --numprocesses 4 --dist loadgroup --cov

test-unit: .venv/test ## Run the tests in process only
	@.venv/bin/pytest tests/unit

drills: .venv/test ## Break a running stack in every way, under load, on both backends, and print what it cost
	@.venv/bin/python -m tests.drills

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
