# The four commands: make test, make bench, make lint, make clean.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help test bench lint clean
help:
	@echo "make test   install into .venv, run all tests, end with the list of skipped ones"
	@echo "make bench  GFLOP/s of the kernels against this processor's limit and NumPy"
	@echo "make lint   ruff and mypy"
	@echo "make clean  remove .venv and build products"

.venv/bin/python:
	$(PYTHON) -m venv .venv

# Reinstalled whenever a source changes, so that tests always run on the installed package.
.venv/installed: .venv/bin/python pyproject.toml $(shell find edge_sparse converters -name '*.py' -o -name '*.html')
	$(BIN)/pip install --quiet --disable-pip-version-check '.[test]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	@rm -rf build/lib build/bdist.*
	@touch $@

# Not python -m pytest: that would put the sources before the installed package.
test: .venv/installed
	$(BIN)/pytest -q

bench: .venv/installed
	$(BIN)/python benchmarks/spmm.py
	$(BIN)/python benchmarks/dwconv.py

lint: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info
