# make demo    segment and measure two sample pictures (or SPECIMEN_IMAGES=DIR), show them in napari
# make test    every check and every test
# Both set up what they need first, in .venv; the second time that takes a moment.

PYTHON  ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python,$(if \
             $(shell $(p) -c "import sys; print(sys.version_info >= (3, 11) or '')" 2>&1 | grep -x True),$(p))))
VENV    ?= .venv
BIN     := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
SETUP    = $(or $(PYTHON),$(error Python 3.11 or newer is needed; set PYTHON to it)) tools/setup.py --venv $(VENV)
# Tests draw into memory: the same on a desk, in a container and in CI, and no windows flash up.
OFFSCREEN := $(if $(filter Linux,$(shell uname -s 2>/dev/null)),QT_QPA_PLATFORM=offscreen)
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-demo demo test check lint types rooms manifest pytest format docs serve-docs build clean

help:  ## list what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup-demo:  ## the environment for users: package, napari, Qt
	@$(SETUP) --extras pyqt6 --virtual-display

setup:  ## the environment for developers: all of it
	@$(SETUP) --extras dev

demo: setup-demo  ## segment, measure, show; SPECIMEN_IMAGES=DIR for own pictures
	@$(BIN)/python demo/run_demo.py

test: setup  ## every check and every test
	@$(MAKE) --no-print-directory check pytest

check: lint types rooms manifest  ## everything but the tests

lint:  ## style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types:  ## annotations
	$(BIN)/mypy

rooms:  ## who may import whom
	$(BIN)/lint-imports

manifest:  ## what napari is told
	$(BIN)/npe2 validate src/napari_specimen_seg/napari.yaml

# Files of tests side by side, one a core; more than a few would fill the memory with copies of torch.
pytest:  ## the tests; PYTEST_ARGS=… goes to pytest
	$(OFFSCREEN) $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

format:  ## mend style where that can be done by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup  ## the site, into site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

serve-docs: setup  ## the site, as it changes
	$(BIN)/mkdocs serve

build: setup  ## wheel and source distribution, into dist/
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:  ## what was built and found, not the environment
	rm -rf build dist site demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
