# fastbp: every command sets up what it needs; `make run` and `make test` work on a fresh clone
# with Python 3.11+ and make, and are quick when repeated.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
STEPS  ?= 10000000

RESULT ?= bench/results/latest.json
PEERS  := $(VENV)/.peers
LOWEST := $(VENV)-lowest

# Some hundred tests start a process of their own. Without bytecode, each compiles the sources: 0.4 s.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-lowest soak digests bench bench-compare bench-peers bench-sklearn bench-populations bench-threads lint fmt clean help

help:            ## what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "fastbp needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(PEERS): $(READY)
	@echo "Installing the rivals into $(VENV) (once, some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,peers]'
	@touch $@

run: $(READY)    ## the worked example, figure by figure, then ten million steps
	@$(BIN)/fastbp example --race $(STEPS)

test: $(READY)   ## every test, the doctests and the README's examples
	@$(BIN)/python -m pytest -n auto --dist worksteal

$(LOWEST)/.ready: pyproject.toml
	@echo "Setting up $(LOWEST) with the lowest version of every package (once, about a minute) ..."
	@$(PYTHON) -m venv $(LOWEST)
	@$(PYTHON) -m tests.lowest > $(LOWEST)/lowest.txt
	@$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint $(LOWEST)/lowest.txt --editable '.[dev]'
	@touch $@

test-lowest: $(LOWEST)/.ready  ## every test, with the lowest versions that pyproject.toml allows
	@$(LOWEST)/bin/python -m pytest -n auto --dist worksteal

soak: $(READY)   ## the long ones: accuracy sweeps, killed runs, random configurations and interruptions
	@$(BIN)/python -m pytest -m soak -s

digests: $(READY)  ## the bits of 200 small runs against those stored; 1 if any differ (STORE=1: store them)
	@$(BIN)/python -m tests.digests $(if $(STORE),store)

bench: $(READY)  ## pytest-benchmark; results under .benchmarks/
	@$(BIN)/python -m pytest bench --benchmark-enable --benchmark-only --benchmark-autosave \
		--benchmark-columns=median,iqr,ops,rounds --benchmark-sort=fullname

bench-compare: $(READY)  ## the two newest saved runs of `make bench`, side by side
	@runs=$$(ls -t .benchmarks/*/*.json 2>/dev/null | head -2); \
	test $$(echo "$$runs" | grep -c .) -eq 2 || { echo "needs two saved runs: make bench, twice"; exit 1; }; \
	$(BIN)/pytest-benchmark compare $$runs --columns=median,iqr,rounds --sort=name --group-by=fullname

bench-peers: $(PEERS)  ## fastbp against its rivals: JSON, page, table; 30 minutes (QUICK=1: 4); RESULT=file.json
	@$(BIN)/python -m bench.session --out $(RESULT) $(if $(QUICK),--quick)
	@$(BIN)/python -m bench.report $(RESULT) --html $(RESULT:.json=.html)
	@$(BIN)/python -m bench.report $(RESULT)
	@echo "The page: $(RESULT:.json=.html)"

bench-sklearn: $(READY)  ## fastbp's estimators against scikit-learn's, fit to fit; 10 minutes (QUICK=1: 4); RESULT=file.json
	@$(BIN)/python -m bench.fits_session --out $(RESULT) $(if $(QUICK),--quick)

bench-populations: $(PEERS)  ## populations against JAX and pure Python; 5 minutes (QUICK=1: 2); RESULT=file.json
	@$(BIN)/python -m bench.populations_session --out $(RESULT) $(if $(QUICK),--quick)

bench-threads: $(READY)  ## how threads scale, up to all cores; 2 minutes and more (QUICK=1: 1); RESULT=file.json
	@$(BIN)/python -m bench.threads_session --out $(RESULT) $(if $(QUICK),--quick)

lint: $(READY)   ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(READY)    ## format and sort imports
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format --quiet .

clean:           ## remove the virtual environment and everything built
	rm -rf $(VENV) $(LOWEST) .benchmarks .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
