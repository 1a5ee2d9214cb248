# make demo: set up and run the quickstart.   make test: set up and run the tests.
PYTHON ?= python3
# For another build of torch:  make demo TORCH='torch==2.13.0 --index-url URL'
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.PHONY: demo test test-slow check bench clean

demo: .venv/.demo
	$(BIN)/loom run recipes/quickstart.yaml
	@echo; echo "  loom is in $(BIN); for this shell:  . $(BIN)/activate"

# Two processes with a thread each take two thirds of the time of one with two.
test: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-slow: .venv/.test
	$(BIN)/python -m pytest -m slow

check: .venv/.test
	scripts/check

# The peers are installed beside it first.   make bench ARGS=--quick
bench: .venv/.bench
	for file in bench/*.py; do $(BIN)/python $$file $(ARGS) || exit 1; done

clean:
	rm -rf .venv .loom reports build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Loomwork needs Python 3.11 to 3.13: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python has no working venv: install it, for example: apt install python3-venv" >&2; exit 1; }

.venv/.demo: .venv/bin/python requirements.lock pyproject.toml
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --no-deps --requirement requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/.test: .venv/.demo requirements-test.lock
	$(PIP) install --quiet --no-deps --requirement requirements-test.lock
	touch $@

.venv/.bench: .venv/.test requirements-bench.lock
	$(PIP) install --quiet --no-deps --requirement requirements-bench.lock
	touch $@
