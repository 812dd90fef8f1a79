# `make help` lists the commands. Each installs its Python packages into .venv and its system packages with apt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
export PYTHON ?= python3

.PHONY: help audit audit-packages audit-licences audit-secrets sbom pin publish publish-all notes local dev dev-docker pictures deploy rollback releases backup restore swarm-deploy status settings new without update doctor test test-all test-programs test-unit drills swarm-drills load load-baseline compare reload certs bench bench-process bench-proxy bench-through bench-growth bench-static bench-sizes mutants lint lock upgrade logs trace clean

help: # List the commands
	@for group in Run Deploy Fork Test Measure Other; do \
	  echo "$$group"; awk -F ":.*## $$group: " '/^[a-z-]+:.*## / && NF > 1 {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST); \
	done

local: .venv/local ## Run: Run the site without Docker (BACKEND=uwsgi, HTTP_PORT=9000)
	@deploy/install.sh nginx
	@[[ $$(.venv/bin/python -m deploy.local.setting BACKEND gunicorn) != uwsgi ]] || $(MAKE) --no-print-directory .venv/uwsgi # only with uwsgi
	@exec .venv/bin/python -m deploy.local

dev: .venv/local ## Run: Run the site without Docker for development: edits are served at once, errors show a traceback
	@deploy/install.sh nginx
	@[[ $$(.venv/bin/python -m deploy.local.setting BACKEND gunicorn) != uwsgi ]] || $(MAKE) --no-print-directory .venv/uwsgi # only with uwsgi
	@exec .venv/bin/python -m deploy.local.dev

dev-docker: # The same in Docker, without Python on this machine (BACKEND=uwsgi, HTTP_PORT=9000)
	@exec docker compose -f docker-compose.yml -f deploy/local/dev.yml up --build --watch

deploy: ## Deploy: Build a release and switch to it without losing a request (BACKEND=uwsgi, RELEASE=name, WAIT=60)
	@exec $(PYTHON) -m deploy.release deploy

# Finds out whether the site runs on a Swarm.
RELEASES = deploy.release
RELEASES = deploy.swarm# only with swarm

rollback: ## Deploy: Switch back to the previous release, or to RELEASE=name
	@exec $(PYTHON) -m $(RELEASES) rollback

releases: ## Deploy: List the releases that you can roll back to, and the live one
	@exec $(PYTHON) -m $(RELEASES) releases

settings: ## Fork: Pass the settings in .env.example on to the containers, and list them in docs/settings.md
	@$(PYTHON) -m deploy.fork.settings

# begin template
new: ## Fork: Make this clone a project of its own (NAME=shortener; TITLE, HOLDER of the licence)
	@$(PYTHON) -m deploy.fork.new "$${NAME:-}" "$${TITLE:-}" "$${HOLDER:-}"

# end template
without: ## Fork: Remove optional parts (PART=demo, or several)
	@$(PYTHON) -m deploy.fork.without $${PART:-}

update: ## Fork: Merge a later version of the template (FROM=its address, VERSION=v1.1.0)
	@$(PYTHON) -m deploy.fork.update "$${FROM:-}" "$${VERSION:-}"

# begin monitoring
logs: # Follow the logs of all containers but those of deploy/monitoring
	@exec $(PYTHON) -m deploy.monitoring logs

# Not expanded: make would run a $(shell) in it.
trace: override export ID := $(value ID)
trace: # Print the log of one request, whichever release answered it (ID=its X-Request-ID)
	@exec $(PYTHON) -m deploy.monitoring trace "$${ID:-}"

# end monitoring
# begin postgres
backup: ## Run: Write a backup of the database in deploy/postgres to backups/
	@exec $(PYTHON) -m deploy.postgres backup

restore: ## Run: Replace that database by a backup (FILE=backups/NAME.dump CONFIRM=overwrite)
	@exec $(PYTHON) -m deploy.postgres restore "$${FILE:-}"

# end postgres
doctor: ## Run: Check that this machine and the settings can run the site, and say how to fix faults
	@exec $(PYTHON) -m deploy.doctor

# TESTS selects a part, for example TESTS="tests/stack/test_tls.py -k renewed".
TESTS ?= tests
PYTEST = .venv/bin/pytest --numprocesses 4 --dist loadgroup --no-loadscope-reorder $(if $(filter tests,$(TESTS)),--cov)
test: .venv/test .venv/loadtest test-programs ## Test: Run the tests of every change, on both backends (TESTS=tests/stack for a part)
	@$(PYTEST) -m "not nightly" $(TESTS)

test-all: .venv/test .venv/loadtest .venv/lint test-programs ## Test: Run all tests, with every drill, the cluster and the comparison
	@$(MAKE) --no-print-directory .venv/conformance || true
	@$(PYTEST) $(TESTS)

PROGRAMS = nginx chromium lego pebble slowhttptest wrk
# A program that cannot be installed is reported here, and again at the end with the tests that were skipped.
test-programs: .venv/test
	@deploy/install.sh $(PROGRAMS) || for need in $(PROGRAMS); do deploy/install.sh $$need || true; done
	@$(MAKE) --no-print-directory --keep-going .venv/node || true
	@$(MAKE) --no-print-directory .venv/uwsgi || true # only with uwsgi

test-unit: .venv/test .venv/loadtest ## Test: Run only the quick tests in process
	@.venv/bin/pytest --numprocesses 2 --dist loadgroup -m "not slow and not nightly" tests/unit $(wildcard tests/app/unit tests/swarm/unit)

# begin swarm
# Without BACKEND on the command line or in the environment, the backend does not change, even if .env names another.
swarm-deploy: ## Deploy: Build a release, push it to REGISTRY and deploy it to a Docker Swarm (BACKEND=uwsgi, RELEASE=name)
	@exec $(PYTHON) -m deploy.swarm

status: # Show the machines of the Docker Swarm, and the releases that they run
	@exec $(PYTHON) -m deploy.swarm status
# end swarm

# begin drills
drills: .venv/test # Run failure drills on a stack under load, on both backends, and print the failed requests
	@.venv/bin/python -m tests.drills
	@.venv/bin/python -m tests.drills.kills
# end drills

# begin swarm
# begin drills
swarm-drills: .venv/test # Run failure drills on a Docker Swarm of three machines, each a container
	@.venv/bin/python -m tests.swarm
# end drills
# end swarm

.venv/bin/python:
	@deploy/install.sh venv
	$(PYTHON) -m venv .venv

# Only a terminal shows pip's progress.
QUIET = $$([[ -t 2 ]] || echo --quiet)
# .venv/GROUP exists when requirements/GROUP.txt is installed. The group `node` also installs the npm packages of
# tests/linters.
.venv/node: tests/linters/package-lock.json
.venv/%: requirements/%.txt | .venv/bin/python
	@$(if $(filter uwsgi,$*),deploy/install.sh headers)
	@$(if $(filter conformance,$*),deploy/install.sh headers apache)
	UWSGI_PROFILE_OVERRIDE="xml=false;ssl=false" \
	  .venv/bin/python -m pip install $(QUIET) --disable-pip-version-check $(if $(filter conformance,$*),--no-cache-dir) \
	  --require-hashes --requirement $<
	@$(if $(filter node,$*),.venv/bin/npm --prefix tests/linters ci >/dev/null)
	@touch $@

reload: ## Run: Reload nginx's configuration and certificates without losing a request
	@tar --create --directory nginx . | docker compose exec --no-TTY nginx /srv/nginx/control.sh reload -

certs: .venv/certs ## Run: Make a development certificate and its authority (NAMES="localhost 127.0.0.1")
	@.venv/bin/python -m deploy.tls.certs $(or $(NAMES),localhost 127.0.0.1 ::1)

# locust reads these variables itself. Without SITE it asks Docker for the port of the running site (loadtest/site.py).
LOAD = $(if $(USERS),LOCUST_USERS=$(USERS)) $(if $(RUN_TIME),LOCUST_RUN_TIME=$(RUN_TIME)) $(if $(SHAPE),LOCUST_SHAPE=$(SHAPE)) \
  $(if $(WORKERS),LOCUST_PROCESSES=$(WORKERS)) $(if $(SCENARIO),LOCUST_USER_CLASSES="$(SCENARIO)") \
  $(if $(LOCUSTFILE),LOCUST_LOCUSTFILE=$(LOCUSTFILE)) $(if $(CSV),LOCUST_CSV=$(CSV)) \
  $(if $(OBJECTIVES),LOCUST_OBJECTIVES=$(OBJECTIVES)) $(if $(REPORT),LOCUST_REPORT=$(REPORT)) \
  $(if $(ALLOW_CHANGE),LOCUST_ALLOW_CHANGE=$(ALLOW_CHANGE)) $(if $(SITE),LOCUST_HOST=$(SITE))
# Many shells export HOST as the machine's name. LOCUST_HOST therefore overrides HOST, unless make's command line sets HOST.
SITE = $(if $(filter environment,$(origin HOST)),$(or $(LOCUST_HOST),$(HOST)),$(or $(HOST),$(LOCUST_HOST)))

load: .venv/loadtest ## Measure: Load-test the running site and hold it to its objectives (SHAPE=ramp USERS=50 RUN_TIME=1m WORKERS=2 HOST=http://...)
	@exec env $(LOAD) .venv/bin/python -m loadtest --config loadtest/headless.conf

load-baseline: .venv/loadtest # Run the load test RUNS times and record its figures; later runs are held to them
	@exec env $(LOAD) RUNS=$(RUNS) .venv/bin/python -m loadtest.baseline --config loadtest/headless.conf

# begin compare
compare: .venv/loadtest ## Measure: Measure two stacks in turns: A=gunicorn B=uwsgi, settings (A=WEB_THREADS=2), releases (A=ref:HEAD~1); QUICK=1
	@deploy/install.sh wrk
	@exec env $(foreach name,A B ROUTE ROUNDS SECONDS QUICK DEPLOY APP_CPUS APP_MEMORY REPORT DOCS,$(if $($(name)),$(name)='$($(name))')) \
	  .venv/bin/python -m loadtest.compare
# end compare

# begin bench
bench: bench-process bench-proxy bench-through bench-growth bench-static ## Measure: Measure a request in process and through nginx, and static files, with a verdict for each aim

bench-process: .venv/bench # Measure a request in process, compared with frameworks, and route look-ups
	@deploy/install.sh valgrind
	@.venv/bin/python -m bench.in_process
	@.venv/bin/python -m bench.routes

bench-proxy: .venv/bench # Count nginx's instructions for a request to the app
	@deploy/install.sh nginx valgrind
	@.venv/bin/python -m bench.proxy

bench-through bench-growth bench-sizes: .venv/uwsgi # only with uwsgi
bench-through: .venv/bench # Measure applications through nginx and both servers
	@deploy/install.sh nginx wrk
	@.venv/bin/python -m bench.through

bench-growth: .venv/bench # Measure how the cost of a request grows with the clients, and with its body
	@deploy/install.sh nginx wrk
	@.venv/bin/python -m bench.growth

bench-sizes: .venv/bench # Measure numbers of workers and threads (ten minutes; not part of bench)
	@deploy/install.sh nginx wrk
	@.venv/bin/python -m bench.sizes

bench-static: .venv/bench # Measure static files with this nginx configuration and with a minimal one
	@deploy/install.sh nginx wrk
	@.venv/bin/python -m bench.static
# end bench

mutants: .venv/mutation # Mutation-test app/ and list the mutants that no test catches
	@rm -rf mutants
	@.venv/bin/mutmut run && .venv/bin/mutmut results

TARGETS = nginx loadtest
TARGETS += gunicorn # only with gunicorn
TARGETS += uwsgi # only with uwsgi
OVERLAYS = tls
OVERLAYS += monitoring # only with monitoring
LINTED = NGINX_STATUS=on# only with monitoring
lint: .venv/lint .venv/node ## Test: Run all linters; any finding fails
	.venv/bin/ruff format --quiet --check --diff .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy & mypy=$$!; .venv/bin/basedpyright; wait $$mypy
	.venv/bin/shellcheck .ci/run .ci/*.sh .ci/base-images/*.sh deploy/*.sh nginx/*.sh
	.venv/bin/hadolint Dockerfile .ci/base-images/Dockerfile .devcontainer/Dockerfile
	.venv/bin/node tests/linters/node_modules/.bin/stylelint --config tests/linters/stylelint.json 'app/static/*.css'
	.venv/bin/compose-lint check --fail-on low docker-compose.yml
	.venv/bin/compose-lint check --fail-on low --config deploy/swarm/lint.yml deploy/swarm/stack.yml deploy/swarm/stack-assets.yml # only with swarm
	mkdir -p .local/lint/certs && touch .local/lint/certs/fullchain.pem
	for settings in NGINX_TLS=off $(LINTED) NGINX_UPSTREAM=replicas "TRUSTED_PROXIES=10.0.0.0/8 IDENTITY_HEADERS=Remote-User" \
	  "CLIENT_REQUESTS=9 ALLOWED_HOSTS=example.org TRUSTED_PROXIES=10.0.0.0/8 PROXY_PROTOCOL=on NGINX_TLS=on"; do \
	  env $$settings nginx/control.sh configure .local/lint; \
	  .venv/bin/gixy .local/lint/conf/nginx.conf; \
	done
	.venv/bin/zizmor --quiet --offline --persona pedantic --strict-collection .
	@if docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1; then \
	  for overlay in $(OVERLAYS); do \
	    docker compose -f docker-compose.yml -f deploy/$$overlay/$$overlay.yml config >.local/lint/$$overlay.yml; \
	    .venv/bin/compose-lint check --fail-on low .local/lint/$$overlay.yml; \
	  done; \
	  for target in $(TARGETS) dev; do docker build --quiet --check --target $$target .; done; \
	else \
	  echo "skipped: docker build --check needs a Docker Engine with Buildx"; [[ $${CI:-} != true ]]; \
	fi

# All groups share one environment. So one resolution of all of them, in .local/all.txt, constrains each. Its preferences are
# the versions that are locked now. --no-strip-extras: Debian 12's pip 23.0 does not match a requirement `coverage[toml]`
# with a locked `coverage`. It then installs the newest version, whose hash is not locked.
GROUPS = $(notdir $(basename $(wildcard requirements/*.txt)))
APART = audit certs loadtest node# groups that do not run the app
COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-strip-extras --no-annotate
lock: .venv/bin/python ## Fork: Lock new dependencies of pyproject.toml, without moving the versions of others
	.venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	@mkdir -p .local
	@cat requirements/*.txt | { grep --extended-regexp '^[[:alnum:]].*==' || true; } | sed 's/ \\$$//' | sort --unique >.local/all.txt
	$(COMPILE) --no-header $(UPGRADE) pyproject.toml $(GROUPS:%=--group %) --output-file .local/all.txt
	@for group in $(GROUPS); do \
	  source=pyproject.toml; [[ " $(APART) " != *" $$group "* ]] || source=; \
	  $(COMPILE) --generate-hashes --custom-compile-command 'make lock' --constraint .local/all.txt $$source \
	    --group pyproject.toml:$$group --output-file requirements/$$group.txt || exit; \
	done

upgrade: UPGRADE = --upgrade
upgrade: lock .venv/node ## Fork: Move all locked versions to the newest, those of tests/linters too
	.venv/bin/npm --prefix tests/linters update --package-lock-only

# The licences that the packages in the images may have. uWSGI is under the GPL, with an exception for linked programs.
LICENCES = MIT;BSD;Apache;PSF;ISC;MPL;Mozilla;ZPL;GPLv2+
# Words in tests and examples that are no secrets.
PLACEHOLDERS = --exclude-lines 'sha256-|"[Ss]ecrets":|"SECRETS(_FILE)?":' --exclude-secrets 'secret[0-9]?|password'
audit: .venv/audit .venv/local .venv/loadtest # Audit the locked packages for vulnerabilities, their licences, and the files for secrets
	@$(MAKE) --no-print-directory --keep-going audit-packages audit-licences audit-secrets

audit-packages: .venv/audit # Audit the locked packages for known vulnerabilities
	@mkdir -p .local
	@.venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
	  $(GROUPS:%=--requirement requirements/%.txt) 2>.local/audit.log && code=0 || code=$$?; cat .local/audit.log >&2; \
	  ! grep --quiet '^ERROR' .local/audit.log || echo "audit: the packages were not audited: run this again when this" \
	    "machine reaches the advisory service of pip-audit, for example with HTTPS_PROXY" >&2; exit $$code

audit-licences: .venv/audit .venv/local .venv/loadtest # Check the licences of the packages in the images
	.venv/bin/pip-licenses --from=mixed --allow-only='$(LICENCES)' --partial-match --packages $(call packages,$(filter gunicorn static loadtest,$(GROUPS)))
	$(MAKE) --no-print-directory .venv/uwsgi # only with uwsgi
	.venv/bin/pip-licenses --from=mixed --allow-only='$(LICENCES)' --partial-match --packages uwsgi # only with uwsgi

audit-secrets: .venv/audit # Search the files for secrets
	git ls-files -z | xargs -0 .venv/bin/detect-secrets-hook --exclude-files '^requirements/|package-lock.json$$' $(PLACEHOLDERS)
packages = $(shell sed --quiet 's/^\([[:alnum:]._-]*\).*==.*/\1/p' $(1:%=requirements/%.txt))

sbom: .venv/audit # Write an inventory (CycloneDX) of the Python packages in each image into .local
	@mkdir -p .local
	@for group in $(filter gunicorn uwsgi loadtest,$(GROUPS)); do \
	  .venv/bin/cyclonedx-py requirements --output-reproducible --output-file .local/sbom-$$group.json requirements/$$group.txt; \
	done

pin: # Pin the base images in the Dockerfile by digest, or move the digests to the tags' newest
	@for image in $$(sed --quiet 's/^ARG [A-Z]*_IMAGE=\([^@]*\).*/\1/p' Dockerfile); do \
	  digest=$$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$$image"); \
	  sed --in-place "s|^\(ARG [A-Z]*_IMAGE=$$image\)\(@.*\)\?\$$|\1@$$digest|" Dockerfile; \
	done

# .github/workflows/release.yml runs these. REGISTRY and RELEASE come from the environment. BuildKit adds an inventory
# (SPDX) and the provenance to each image.
publish: # Build the images for this machine's platform and push them to REGISTRY (RELEASE=v1.0.0)
	@docker buildx create --name publish --driver docker-container >/dev/null 2>&1 || true
	@for target in $(filter-out loadtest,$(TARGETS)); do \
	  docker buildx build --builder publish --push --sbom=true --provenance=true --build-arg RELEASE="$$RELEASE" \
	    --target $$target --tag "$$REGISTRY/$$target:$$RELEASE-$$(uname --machine)" .; \
	done

publish-all: # Give the images of both platforms, amd64 and arm64, one tag in REGISTRY (RELEASE=v1.0.0)
	@for target in $(filter-out loadtest,$(TARGETS)); do \
	  name="$$REGISTRY/$$target:$$RELEASE"; docker buildx imagetools create --tag "$$name" "$$name-x86_64" "$$name-aarch64"; \
	done

notes: # Write the section of RELEASE in CHANGELOG.md into .local/notes.md (RELEASE=v1.0.0)
	@mkdir -p .local
	@sed "1,/^## $${RELEASE#v}$$/d; /^## /,\$$d" CHANGELOG.md >.local/notes.md || true
	@[[ -s .local/notes.md ]] || { echo "notes: CHANGELOG.md has no section $${RELEASE#v}: write one" >&2; exit 1; }

# begin template
pictures: .venv/test .venv/loadtest # Take the pictures of the docs (docs/pictures/)
	@deploy/install.sh nginx chromium
	@exec .venv/bin/python -m tests.pictures

# end template
clean: ## Other: Remove the virtual environment, caches and temporary files
	rm -rf .venv .local .hypothesis .*_cache .coverage mutants tests/linters/node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
