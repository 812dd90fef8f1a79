# `make help` lists the commands. Each sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PYTHON ?= python3

.PHONY: help test test-unit lock clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The virtual environment, made anew when its lock file changes.
.venv/dev: requirements/dev.txt
	deploy/require.sh venv
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

test: .venv/dev ## Run all tests: in process, and over HTTP against both backends
	.venv/bin/pytest

test-unit: .venv/dev ## Run the tests in process only
	.venv/bin/pytest tests/unit

lock: .venv/dev ## Write requirements/*.txt anew from pyproject.toml
	.venv/bin/pip install --quiet --disable-pip-version-check uv
	for group in gunicorn uwsgi loadtest dev; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	    --custom-compile-command 'make lock' pyproject.toml --group $$group --output-file requirements/$$group.txt; \
	done

clean: ## Remove the virtual environment and caches
	rm -rf .venv .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
