# dumpwalk: `make help` lists the targets.
# Each target that needs something installed asks scripts/bootstrap for it, which does nothing where all is there.

SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
PYTEST_ARGS ?= -n 2 --dist loadfile
CORES_OUT ?= build/cores

.DEFAULT_GOAL := help
.PHONY: help demo demo-html test lint bench cores fuzz zipapp venv setup-demo setup-test setup-cores clean distclean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: setup-demo ## explain a real hang of a real .NET process from a committed core
	@$(PY) scripts/demo.py

demo-html: setup-demo ## the HTML reports of six cores: build/html/
	@$(PY) scripts/demo_html.py

test: setup-test lint ## lint, then every test
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest $(PYTEST_ARGS) # dumpwalk starts a thousand times: compiled once

lint: venv ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check -q .
	$(VENV)/bin/mypy

bench: setup-test ## dumpwalk, lldb and gdb side by side on one core
	@$(PY) -m compileall -q dumpwalk # as an installed package is; PYTHONDONTWRITEBYTECODE may be set
	$(PY) -m bench

cores: setup-cores ## make all fixture cores afresh, into CORES_OUT
	$(PY) -m fixtures.make --out $(CORES_OUT)

zipapp: venv ## dist/dumpwalk.pyz: dumpwalk and its packages in one file
	@$(PY) scripts/make_zipapp.py

fuzz: setup-test ## the long run of the damaged-input tests
	$(PY) -m tests.fuzz --extended

venv: ## the virtual environment and lldb, no more
	@bash scripts/bootstrap venv

setup-demo:
	@bash scripts/bootstrap demo

setup-test:
	@bash scripts/bootstrap test

setup-cores:
	@bash scripts/bootstrap cores

clean: ## remove the virtual environment, build results and caches of tools
	rm -rf $(VENV) .venv.lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and remove the downloaded runtime packages too
	rm -rf "$${DUMPWALK_CACHE:-$$HOME/.cache/dumpwalk}"
