# Each target does all of its own set-up; a second run finds it done.
PYTHON ?= python3
BIN    := .venv/bin
VENV   := .venv/.installed
JS     := tests/js/node_modules/.installed

# The layer paper's own package, to compare with. Its pins fit no current environment, but it runs without them.
PEER   := fairness_training==0.1.0

# Bounds of networks, to compare with. Its pins ask for a torch of years ago; it runs on this one with a little help.
LIRPA  := auto_LiRPA==0.3

# What decides must be tested: coverage is demanded of these folders.
DECIDING := certifair/exact/*,certifair/spec/*,certifair/checks/*,certifair/certificate/*,certifair/gate/*

TRACED := certifair tests/exact tests/spec tests/checks tests/gate tests/conformance/test_golden.py tests/cli/test_trust.py

.PHONY: help demo test coverage bench lint attack clean

help:
	@echo "make demo    the main job on embedded data, into demo-out/"
	@echo "make test    all tests"
	@echo "make coverage  the tests of what decides, traced: 95% of it must be reached"
	@echo "make lint    ruff and mypy"
	@echo "make bench   the ratios, measured side by side"
	@echo "make attack  attacks on the verifier"
	@echo "make clean   remove everything that make made"

demo: $(VENV)
	$(BIN)/certifair demo --out demo-out

test: $(VENV) $(JS)
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

# By itself, as tracing doubles the time.
coverage: $(VENV) $(JS)
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal --cov --cov-report= $(TRACED)
	$(BIN)/python -m coverage report --include='$(DECIDING)' --fail-under=95

bench: $(VENV)
	$(BIN)/python tests/benchmarks/bench.py

attack: $(VENV)
	$(BIN)/python tests/attack.py

lint: $(VENV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

clean:
	rm -rf .venv demo-out dist .coverage .coverage.* .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/js/node_modules
	find certifair tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Constraints by environment variable, so that they also hold for the build backend (old and new pip read different ones).
$(VENV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "certifair needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments: install the Debian package python3-venv, or set PYTHON"; exit 2; }
	@echo "setting up .venv (once, one to two minutes)"
	@$(PYTHON) -m venv .venv
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
	  $(BIN)/python -m pip install -qq --editable '.[test,lint]'
	@PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq --no-deps $(PEER) $(LIRPA)
	@echo "compiling the search of proofs (once, half a minute)"
	@$(BIN)/python -c 'from certifair.individual import prepare; prepare()'
	@touch $@

# Sigstore's own verifier, as a foreign client. Without npm its tests are skipped, and say so.
$(JS): tests/js/package.json tests/js/package-lock.json tests/js/.npmrc
	@if command -v npm >/dev/null; then \
	  echo "setting up tests/js (once, seconds)"; npm ci --silent --prefix tests/js && touch $@; \
	else echo "npm is not installed: the tests with Sigstore's own verifier will be skipped"; fi
