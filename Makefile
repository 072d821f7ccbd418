# Two commands do everything on a fresh machine with Python 3.11+: `make run` and `make test`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed

# Else each of a thousand processes that the tests start compiles the whole program again.
unexport PYTHONDONTWRITEBYTECODE

# They wait more than they compute; tests/conftest.py says in what order.
PYTEST := $(BIN)/pytest --numprocesses 4

.PHONY: run run-two test quick nightly check reference bench fuzz clean

run: $(READY)            ## three mail servers on loopback and a name server that balances them
	$(BIN)/geodns demo $(OPTIONS)

run-two: $(READY)        ## the same with two name servers that judge together through a Redis or Valkey
	$(BIN)/geodns demo --two $(OPTIONS)

test: $(READY)           ## every test
	$(PYTEST)

quick: $(READY)          ## every test that starts no server, in less than a minute
	$(PYTEST) --ignore tests/integration --ignore tests/fuzz --ignore-glob '*/test_bench*'

nightly: $(READY)        ## every test with a thousand examples where others take thirty, and a long soak
	HYPOTHESIS_PROFILE=nightly SOAK_SECONDS=300 $(PYTEST) --timeout 1800 -o faulthandler_timeout=0

check: $(READY)          ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

reference: $(READY)      ## renew the parts of docs/ that are made from the tables of keys
	$(BIN)/python -m tests.reference

FUZZ_SECONDS ?= 600
fuzz: $(READY)           ## look for packets, zone files and MTAs' requests that break something, each for so many seconds
	$(BIN)/python -m tests.fuzz packets -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz zones -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python -m tests.fuzz routes -max_total_time=$(FUZZ_SECONDS)

bench: $(READY)          ## side by side with the name servers and the balancer that are installed
	$(BIN)/python -m bench
	$(BIN)/python -m bench.verdicts

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("geodns needs Python 3.11 or newer; set PYTHON=python3.12, say" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,test]'
	touch $@
