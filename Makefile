# Everything one does with a checkout. `make` alone prints the targets.

VENV := .venv
BIN := $(VENV)/bin
# 3.11 to 3.13 have ready-made packages for everything in the lock; a newer one may have to build some.
FITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
NEWER = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p $(FITS) 2>/dev/null && { echo $$p; exit; }; done; python3 $(NEWER) 2>/dev/null && echo python3)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet --no-input
CODE := p2pchat tests $(wildcard benchmarks)
# A test of nodes or of a screen mostly waits for them, so there is one more process for tests than there are cores.
ALL := -n $(shell expr $$(nproc) + 1) --dist worksteal
# What tests/support/sampling.py makes smaller.
SAMPLED := tests/world/test_crash_points.py tests/engine/delivery/test_outbound.py tests/tui/test_hostile.py
UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help setup chat demo quick test check lab bench attack soak fmt lock

help: ## this list
	@echo 'make TARGET, one of:'
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 10

setup: $(VENV)/run.stamp ## make .venv with .venv/bin/p2pchat; needs python3 (3.11 to 3.13) and make, nothing else

chat: $(VENV)/run.stamp ## open the screen
	@$(BIN)/p2pchat

demo: $(VENV)/run.stamp ## watch two people meet, talk, crash and come back
	@$(BIN)/p2pchat demo

quick: $(VENV)/dev.stamp ## run the tests that are not slow: a minute, while one works
	$(BIN)/python -m pytest $(ALL) -m 'not slow'

test: $(VENV)/dev.stamp ## run the tests but the lab; those in a real terminal only if tmux is here
	@echo 'left out is the lab, which needs root: make lab'
	@command -v tmux >/dev/null || echo 'no tmux here: left out are the tests marked tmux (apt-get install tmux)'
	$(BIN)/python -m pytest $(ALL) $$(command -v tmux >/dev/null || echo "-m not(tmux)")

check: $(VENV)/dev.stamp ## everything that must hold before a commit: lint, format, types, imports, tests; needs tmux
	$(BIN)/ruff check $(CODE) requirements
	$(BIN)/ruff format --check $(CODE) requirements
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest $(ALL)

lab: $(VENV)/dev.stamp ## people behind routers, relays that fail or lie, in network namespaces; needs root, ip and nft
	$(BIN)/python -m pytest $(ALL) -p no:cacheprovider tests/lab

bench: $(VENV)/run.stamp ## measure, print a table and write benchmarks/results.json (20 minutes, a quiet machine)
	$(BIN)/python -m benchmarks

attack: $(VENV)/run.stamp ## flood a relay and a node as strangers could, and print what an honest user notices; SHORT=1: a few floods
	$(BIN)/python -m benchmarks.attack $(if $(SHORT),--short)

soak: $(VENV)/dev.stamp ## before a release: every crash point, kill -9 a hundred times, 6,000 people at a relay (half an hour)
	P2PCHAT_SAMPLE=all $(BIN)/python -m pytest $(ALL) $(SAMPLED)
	P2PCHAT_KILL_ROUNDS=100 $(BIN)/python -m pytest -m kill tests/process/test_kill.py
	P2PCHAT_CHURN_MEETINGS=3000 $(BIN)/python -m pytest -m churn tests/process/test_relay_churn.py
	P2PCHAT_EXAMPLES=10 $(BIN)/python -m pytest $(ALL) -m hypothesis

fmt: $(VENV)/dev.stamp ## format the code, and mend what the linter can mend
	$(BIN)/ruff check --fix $(CODE) requirements
	$(BIN)/ruff format $(CODE) requirements

lock: $(VENV)/dev.stamp ## write requirements/*.lock anew from requirements/*.in; UPGRADE=1 takes newer versions
	$(UV) $(if $(UPGRADE),--upgrade) requirements/build.in -o requirements/build.lock
	$(UV) $(if $(UPGRADE),--upgrade) --no-emit-package fastecdsa requirements/run.in -o requirements/run.lock
	$(UV) $(if $(UPGRADE),--upgrade) --no-emit-package fastecdsa -c requirements/run.lock requirements/dev.in -o requirements/dev.lock

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'p2pchat needs Python 3.11 or newer: make setup PYTHON=/path/to/python3'; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The locks name every package, so pip resolves nothing (--no-deps) and takes nothing whose hash is not written there.
# What comes as source is built with the setuptools of build.lock, not with one that pip would fetch unasked.
$(VENV)/run.stamp: requirements/build.lock requirements/run.lock pyproject.toml $(wildcard requirements/standins/*/pyproject.toml) | $(VENV)/bin/python
	@echo 'installing what requirements/run.lock names (a minute)'
	@$(PIP) install --no-deps --require-hashes -r requirements/build.lock
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/run.lock
	@$(PIP) install --no-deps --no-index --no-build-isolation --no-cache-dir ./requirements/standins/fastecdsa
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/run.stamp
	@echo 'installing what requirements/dev.lock names'
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/dev.lock
	@touch $@
