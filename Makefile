# Daybook's commands. `make` or `make help` lists them.
#
# Paths are relative and programs are called as modules of .venv/bin/python, because make's own targets cannot
# hold spaces and the scripts in .venv/bin hold absolute paths, which break when the folder is moved.

PORT ?= 8000
ARGS ?=
PYTHON ?=
UV_VERSION := 0.13.9

export PORT
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

MAKEFLAGS += --no-print-directory
py := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup run test check fmt bench docs fuzz

help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile
	@echo '  PORT=8000 chooses the port of run; ARGS="..." goes to run, test, bench and docs; PYTHON= chooses the Python.'

setup: ## Make .venv with the pinned dependencies (the other commands do this as needed)
	@if cmp -s requirements.lock .venv/installed.lock && $(py) -c '' 2>/dev/null; then exit 0; fi; \
	if [ -n "$(PYTHON)" ]; then set -- "$(PYTHON)"; \
	else set -- python3 python3.14 python3.13 python3.12 python3.11; fi; \
	for found in "$$@" ''; do \
	  if [ -n "$$found" ] && "$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'Daybook needs Python 3.11 or newer: install it, or say make PYTHON=/path/to/python3.' >&2; exit 1; fi; \
	set -e; \
	echo "Setting up .venv with $$("$$found" --version) (once, and when requirements.lock changes)"; \
	uv=; if uv --version >/dev/null 2>&1; then uv=uv; fi; \
	if [ -n "$$uv" ]; then "$$found" -m venv --clear --without-pip .venv; else "$$found" -m venv --clear .venv; fi; \
	if [ -z "$$uv" ] && $(py) -m pip install --quiet --no-deps uv==$(UV_VERSION) 2>/dev/null; then uv=.venv/bin/uv; fi; \
	if [ -n "$$uv" ] && "$$uv" pip install --python $(py) --require-hashes -r requirements.lock; then :; else \
	  echo 'uv could not install them: trying pip, which takes about a minute'; \
	  if [ "$$uv" = uv ]; then "$$found" -m venv --clear .venv; fi; \
	  $(py) -m pip install --no-deps --require-hashes -r requirements.lock; \
	fi; \
	cp requirements.lock .venv/installed.lock

run: setup ## Serve on http://localhost:8000 with demo tenants (ARGS=--no-demo: without); Ctrl-C stops all
	@exec $(py) manage.py demo $(ARGS)

# Which rooms no branch of may be untested. Only all tests together can show it.
covered := audit.ledger tenants.context tenants.backend
measured := $(covered:%=--cov=%) --cov-report=
whole := $(covered:%=--cov=%) --cov-append --cov-report=term-missing:skip-covered --cov-fail-under=100

test: check ## Run every check and test; with ARGS some tests
	$(py) -m pytest -n 2 $(if $(ARGS),$(ARGS),$(measured))
	$(if $(ARGS),,DJANGO_SETTINGS_MODULE=hostapp.settings PYTHONPATH=tests $(py) -m pytest -n 2 tests/capture $(whole))

check: setup ## Check format, lint, types, layers, migrations, system checks and the OpenAPI document
	$(py) -m ruff format --check
	$(py) -m ruff check
	$(py) -m mypy .
	$(py) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	$(py) manage.py makemigrations --check --dry-run
	$(py) manage.py check
	$(py) manage.py spectacular --validate --fail-on-warn --file /dev/null

fmt: setup ## Format the code and repair what lint can
	$(py) -m ruff format
	$(py) -m ruff check --fix

bench: setup ## Run the benchmarks: tables here, JSON under var/bench/
	$(py) -m bench $(ARGS)

fuzz: setup ## Ask the API what its document allows and forbids, thousands of times (FUZZ=200: cases an operation)
	DAYBOOK_FUZZ_CASES=$(or $(FUZZ),200) $(py) -m pytest -n 0 -s tests/contract/test_fuzz.py $(ARGS)

docs: setup ## Write the OpenAPI documents of both hosts, and pages to read them, under var/docs/ (ARGS=--commit: docs/openapi/)
	@$(py) manage.py docs $(ARGS)
