# The commands: make demo, make test, make bench, make lint, make clean.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test bench lint clean
help:
	@echo "make demo   convert the shipped digits and Shakespeare models, verify them, classify images, write a report and verses"
	@echo "make test   install into .venv, run all tests, end with the list of skipped ones"
	@echo "make bench  kernels against this processor's limit, MobileNet and decoding against other engines; start and size"
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

demo: .venv/installed
	$(BIN)/python examples/digits/demo.py -o build/demo
	$(BIN)/python examples/shakespeare/demo.py -o build/demo

# Not python -m pytest: that would put the sources before the installed package.
test: .venv/installed
	$(BIN)/pytest -q

bench: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check '.[peers]'
	$(BIN)/python benchmarks/spmm.py
	$(BIN)/python benchmarks/token_products.py
	$(BIN)/python benchmarks/dwconv.py
	$(BIN)/python benchmarks/mobilenet.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/llm_decode.py

lint: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info
