# The commands: make demo, make test, make bench, make native, make wasm, make web, make wheels, make fuzz, make lint, make clean.
PYTHON ?= python3
BIN := .venv/bin

# Of "make fuzz".
FUZZ_SECONDS ?= 600

.PHONY: help demo test bench native wasm web wheels fuzz debian-parts lint clean
help:
	@echo "make demo   convert the shipped digits and Shakespeare models, verify them, classify images, write a report and verses"
	@echo "make test   install into .venv, run all tests, end with the list of skipped ones"
	@echo "make bench  kernels against this processor's limit, MobileNet and decoding against other engines; start and size"
	@echo "make native build the C core into this source checkout"
	@echo "make wasm   the C core for browsers, in build/wasm"
	@echo "make web    the npm package in wasm/js/dist and the demo page in build/web; needs Node.js: edge-sparse demo --web"
	@echo "make wheels the packages for 64-bit ARM and x86-64, in dist"
	@echo "make fuzz   damage files for FUZZ_SECONDS (600), with address and undefined behaviour sanitizers; needs clang"
	@echo "make lint   ruff and mypy"
	@echo "make clean  remove .venv and build products"

.venv/bin/python:
	$(PYTHON) -m venv .venv

# zig compiles the C core for every machine; where it has no package, any C compiler does for this one.
.venv/compiler: .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check 'setuptools>=77'
	-$(BIN)/pip install --quiet --disable-pip-version-check 'ziglang==0.17.1'
	@touch $@

# Reinstalled whenever a source changes, so that tests always run on the installed package.
.venv/installed: .venv/compiler pyproject.toml setup.py $(shell find edge_sparse converters kernels_arm -name '*.py' -o -name '*.html' -o -name '*.[ch]' -o -name '*.inc')
	@rm -rf build/wheel build/lib build/bdist.*
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w build/wheel .
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(echo build/wheel/*.whl)[test]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/wheel/*.whl
	@rm -rf build/lib build/bdist.*
	@touch $@

debian-parts:
	@tests/install_debian_parts.sh

demo: .venv/installed
	$(BIN)/python examples/digits/demo.py -o build/demo
	$(BIN)/python examples/shakespeare/demo.py -o build/demo

# Not python -m pytest: that would put the sources before the installed package.
# Without Node.js the tests of the browser are skipped.
test: debian-parts .venv/installed $(if $(shell command -v npm),web)
	$(BIN)/pytest -q

bench: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check '.[peers]'
	$(BIN)/python benchmarks/spmm.py
	$(BIN)/python benchmarks/token_products.py
	$(BIN)/python benchmarks/dwconv.py
	$(BIN)/python benchmarks/mobilenet.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/llm_decode.py

native: .venv/compiler
	$(BIN)/python kernels_arm/build.py -o build/native
	cp build/native/libedge_sparse.* edge_sparse/backends/native/

wasm: .venv/compiler
	$(BIN)/python wasm/build.py -o build/wasm

# What npm downloads is what package-lock.json says.
wasm/js/node_modules/.installed: wasm/js/package-lock.json
	cd wasm/js && npm ci --silent --no-audit --no-fund
	@touch $@

web: .venv/installed wasm wasm/js/node_modules/.installed
	cd wasm/js && npm run --silent build
	$(BIN)/python wasm/build_site.py -o build/web

# With the demo page inside where it has been built: make web wheels
wheels: .venv/compiler
	$(BIN)/python kernels_arm/build_wheel.py --target aarch64 --target x86_64 -o dist $$(test ! -f build/web/index.html || echo --site build/web)

# Only the standard library is needed.
fuzz:
	$(PYTHON) kernels_arm/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --workers 2 -o build/fuzz

lint: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info edge_sparse/backends/native/libedge_sparse.* wasm/js/dist wasm/js/node_modules
