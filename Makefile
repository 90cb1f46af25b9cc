# Plasmodia's errands; GNU make and a Python of 3.11 or newer are all that must be there before.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q install -c constraints.txt
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder --durations=10
RUN := out/digits
WORLDS ?= 5000
FOLDERS := .ci analysis archive_store kernels organisms qd runs tests

.PHONY: help setup launch test thorough check docs folders bench chaos clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s  %s\n", $$1, $$2}' Makefile

setup: .venv/installed ## install Plasmodia into .venv

launch: setup ## evolve on handwritten digits (out/digits); again: go on with that run or show it
	@if [ -e $(RUN) ]; then \
		echo "$(RUN) is there already: going on if it is unfinished, else showing it." >&2; \
		$(BIN)/plasmodia resume $(RUN); \
	else \
		$(BIN)/plasmodia launch digits --out $(RUN); \
	fi

# Tests start many processes: what is imported is compiled once, whatever the environment says.
test thorough: export PYTHONDONTWRITEBYTECODE :=
test: .venv/installed-test ## try a case of each test, in two processes; all of a folder: make test TESTS=tests/qd
	$(PYTEST) $(or $(TESTS),--sample)

thorough: .venv/installed-test ## run all tests, as is done before a change lands; about 40 minutes
	$(PYTEST)

check: .venv/installed-test folders ## lint, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

folders:
	@files=$$(git ls-files) || exit 1; \
	extra=$$(echo "$$files" | sed -n 's,/.*,,p' | sort -u | grep -vxF $(FOLDERS:%=-e %)); \
	test -z "$$extra" || { echo "top-level folders are $(FOLDERS), but there is also:" $$extra >&2; exit 1; }

docs: .venv/installed-docs ## build the site from READMEs, docstrings and docs/pages: build/docs/index.html
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=.ci $(BIN)/python -m mkdocs build -q --strict -f .ci/docs/mkdocs.yml
	@echo "build/docs/index.html"

bench: .venv/installed-test ## print the measurements of tests/benchmarks
	@for file in tests/benchmarks/*.py; do \
		echo "== $$file"; PYTHONPATH=. $(BIN)/python $$file || exit 1; \
	done

chaos: .venv/installed-test ## worlds, crashes, hostile bytes and real faults by the hour (tests/README.md; WORLDS=100000)
	$(BIN)/python -m pytest tests/runs/faults/test_simulated_worlds.py --worlds $(WORLDS)
	$(BIN)/python -m pytest tests/runs/faults/test_crash_points.py tests/runs/faults/test_full_disk.py tests/runs/faults/test_lost_writes.py \
		--crash-points all
	$(BIN)/python -m pytest tests/test_fuzz.py --hypothesis-profile=explore
	for again in 1 2 3; do $(BIN)/python -m pytest -m ray || exit 1; done

clean: ## remove everything that was made but the runs in out/
	rm -rf .venv build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(FOLDERS) -name __pycache__ -prune -exec rm -rf {} +

# The stamps are older than what they depend on when a dependency changed: then pip looks again.
.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Plasmodia needs Python 3.11 or newer, not %d.%d; name one: make setup PYTHON=python3.12" % v[:2])'
	@echo "Installing into .venv; the first time this takes a few minutes." >&2
	@$(PYTHON) -m venv .venv
	@$(PIP) -e .
	@touch $@

.venv/installed-test: .venv/installed
	@$(PIP) -e '.[test]'
	@touch $@

.venv/installed-docs: .venv/installed
	@$(PIP) -e '.[docs]'
	@touch $@
