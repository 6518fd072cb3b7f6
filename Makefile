# One command a job; each sets up what it needs. `make` alone shows what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup data glyphs browser postgresql demo test thorough check docs explore ui lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true
export GIT_PYTHON_REFRESH := quiet
# Compiled once and kept: without it every process of a training or test compiles torch and mlflow anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
STORE := sqlite:///$(CURDIR)/demo/mlflow.db
READY := $(VENV)/.ready
# Installing system packages needs root; where neither holds, the message says what to install by hand.
ROOT := $(shell if [ "$$(id -u)" = 0 ]; then echo ""; else echo "sudo -n"; fi)

help:  ## Show the commands
	@grep -hE '^[a-z]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(READY)  ## Make the environment in .venv (about a minute)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Python 3.10 to 3.13 is needed, and $(PYTHON) is another: make PYTHON=python3.11 setup"; exit 2; }
	@echo "Making the environment in $(VENV) ..."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

data:
	@[ -d /usr/share/datasets/fashion-mnist ] || [ -n "$$PCT_FASHION_MNIST" ] \
	  || { command -v apt-get > /dev/null && echo "Getting Fashion-MNIST ..." \
	       && { apt-cache show dataset-fashion-mnist > /dev/null 2>&1 || $(ROOT) apt-get update -qq; } \
	       && $(ROOT) apt-get install -qq -y dataset-fashion-mnist > /dev/null; } \
	  || echo "Debian's dataset-fashion-mnist could not be installed here: torchvision's download is tried instead."

FONTS := pct_mlops/data/font_packages.txt
glyphs:  ## Get the fonts of the data set glyphs: Debian packages, 240 MB
	@( while read name; do [ -f /var/lib/dpkg/info/$$name.list ] || exit 1; done < $(FONTS) ) \
	  || { command -v apt-get > /dev/null && echo "Getting the fonts of the data set glyphs ..." \
	       && { apt-cache show fonts-lato > /dev/null 2>&1 || $(ROOT) apt-get update -qq; } \
	       && xargs -a $(FONTS) $(ROOT) apt-get install -qq -y --no-install-recommends > /dev/null; } \
	  || echo "Debian's font packages could not be installed here: set PCT_GLYPHS to a folder of fonts."

browser:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null \
	  || { command -v apt-get > /dev/null && echo "Getting Chromium for the tests ..." \
	       && { apt-cache show chromium > /dev/null 2>&1 || $(ROOT) apt-get update -qq; } \
	       && $(ROOT) apt-get install -qq -y chromium > /dev/null; } \
	  || echo "Chromium could not be installed here: install it (or Chrome) by hand, one test drives it."

postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || command -v initdb > /dev/null \
	  || { command -v apt-get > /dev/null && echo "Getting PostgreSQL for the tests ..." \
	       && { apt-cache show postgresql > /dev/null 2>&1 || $(ROOT) apt-get update -qq; } \
	       && $(ROOT) apt-get install -qq -y postgresql > /dev/null; } \
	  || echo "PostgreSQL could not be installed here: install it by hand, the tests on it fail without it."

demo: setup data  ## The whole story on Fashion-MNIST: train, register, gate, promote
	@$(BIN)/python -m pct_mlops demo

# A file's tests share their fixtures, so a file stays with one worker.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test: setup data browser  ## Run the test suite
	@$(PYTEST) $(ARGS)

thorough: setup data glyphs browser postgresql  ## Run what takes too long for every day: servers under load, thousands of bad inputs
	@$(PYTEST) -m thorough --timeout 900 $(ARGS)

docs: setup  ## Build the documentation into site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@! grep -rE '(src|href)="(https?:)?//' site --include='*.html' || { echo "A page loads something from elsewhere."; exit 1; }

check: setup docs  ## Lint, format, types, layers, documentation
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

explore: setup  ## Open the explorer on the demo's registry
	@MLFLOW_TRACKING_URI="$${MLFLOW_TRACKING_URI:-$(STORE)}" $(BIN)/python -m pct_mlops explore \
	  --policy projects/fashion_mnist/policy.yaml $(ARGS)

ui: setup  ## Open MLflow's own pages on the demo's registry
	@$(BIN)/python -m mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-$(STORE)}" --host 127.0.0.1 $(ARGS)

lock: setup  ## Pin the dependencies anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --extra dev \
	  --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make lock" \
	  --output-file requirements.lock --upgrade pyproject.toml

clean:  ## Remove the environment, the caches and what the demo made
	rm -rf $(VENV) demo checkpoints build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
