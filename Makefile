# `make demo` classifies photographs and finds cells; `make test` tests every backend in minutes,
# `make test-all` runs every test on each.
# Python 3.11 or later is all that has to be there.

PYTHON ?= python3
BACKEND ?= jax
BACKENDS ?= jax tensorflow torch
PYTEST_ARGS ?=
# Processes that test side by side: one for each processor. 0 is none but pytest itself.
WORKERS ?= logical

VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)
export KERAS_BACKEND = $(BACKEND)
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-all test-oldest test-nightly check docs clean

demo: $(VENV)/.demo-$(BACKEND)  ## classify examples/images, find examples/cells, draw demo*.png
	$(BIN)/python examples/classify_images.py --out demo.png
	$(BIN)/python examples/detect_cells.py --out demo_detection.png

# A test's tier is its mark, see pyproject.toml. A worker takes whole files, whose tests share
# models.
test test-all: TIER = $(if $(filter test-all,$@),full,default)
test: $(VENV)/.test  ## what does not depend on the backend once, the heart of the rest on each
test-all: $(VENV)/.test  ## every test on every backend
test test-all:
	@set -e; for backend in $(BACKENDS); do \
	    echo "== tests on $$backend"; \
	    KERAS_BACKEND=$$backend $(BIN)/python -m pytest --tier $(TIER) \
	        -n $(WORKERS) --dist loadfile $(PYTEST_ARGS); \
	done

test-oldest:  ## the default tier on the oldest libraries, in an environment of its own
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

# It is the same folder as Keras, under another package's name: both go before the newest comes.
test-nightly:  ## the default tier on the newest build of Keras, in an environment of its own
	$(MAKE) .venv-nightly/.test VENV=.venv-nightly
	.venv-nightly/bin/pip uninstall --quiet --yes keras keras-nightly
	.venv-nightly/bin/pip install --quiet --disable-pip-version-check --pre --no-deps keras-nightly
	$(MAKE) test VENV=.venv-nightly

check: $(VENV)/.test  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# In an environment of its own, without Keras: the docstrings are read, and nothing is imported.
docs: .venv-docs/.docs  ## the documentation as a site, build/site; stops at a broken link
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build  # --quiet would pass what `strict` refuses
	@echo "build/site/index.html"

clean:
	rm -rf $(VENV) .venv-oldest .venv-nightly .venv-docs build/site demo.png demo_detection.png

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; name it by make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

# A mark for each set of packages that is in place, made again when the packages change.
$(VENV)/.demo-%: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	@echo "installing Keras and $* in $(VENV): minutes, once"
	$(INSTALL) -e '.[$*,plot]'
	touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml $(CONSTRAINTS)
	@echo "installing Keras and three backends in $(VENV), gigabytes: many minutes, once"
	$(INSTALL) -e '.[jax,tensorflow,torch,test,dev]'
	touch $@

.venv-docs/.docs: tools/docs/requirements.txt $(CONSTRAINTS)
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@
