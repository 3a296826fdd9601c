# make demo   build the demo report and say where it is
# make test   run every test
# make lint   ruff and pyright
# make docs   run the examples, draw the figures and build the site into site/; `make docs GALLERY=` runs nothing
# make bench  time against the peers and write benchmarks/RESULTS.md
# Each makes .venv on first use, and installs again only when pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GALLERY ?= yes
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint docs bench clean

demo: $(VENV)/.demo
	$(BIN)/python demo/run.py

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal --doctest-modules src tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.docs
	$(BIN)/python docs/build_gallery.py $(if $(GALLERY),,--text)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site is at site/index.html"

bench: $(VENV)/.test
	$(BIN)/python benchmarks/run.py

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) --version); Recurra needs Python 3.11 or newer. Say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "error: $(PYTHON) could not make a virtual environment; on Debian or Ubuntu install python3-venv" >&2; exit 1; }

# One stamp for each set of extras. The editable install leaves the sources in place, so only a change of
# pyproject.toml asks for another one.
$(VENV)/.%: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) demo_output site docs/gallery docs/figures build dist
