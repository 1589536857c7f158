# Every target does its own set-up: a fresh machine needs Python 3.11+, make and a C compiler.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-generate
DEV    := $(VENV)/.ready-dev

.PHONY: demo test soak interop lint bench docs clean
.DEFAULT_GOAL := demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[generate,prompts]'
	touch $@

$(DEV): $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[generate,server,detect,prompts,detoxify,dev]'
	touch $@

demo: $(READY)       ## Generate, verify, alter, verify again, and try an unsafe prompt
	$(BIN)/python examples/demo.py

test: $(DEV) lint    ## Everything a change must pass; fast tests first
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not soak"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "slow and not soak"

soak: $(DEV)         ## The heavy cases, whole
	$(BIN)/python -m pytest -m soak --timeout 7200

interop: $(DEV)      ## Tools made by others check the log; says plainly which of them are missing
	-$(BIN)/pip install --quiet --target build/interop pymerkle==7.0.0 tamperlog==0.1.0
	-$(BIN)/pip install --quiet --target build/interop aics-tlog==0.2.1
	PYTHONPATH=build/interop OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/audit/test_interop.py

lint: $(DEV)         ## ruff, mypy strict, the layer contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p guarded_sora
	$(BIN)/lint-imports

bench: $(DEV)        ## Side-by-side measurements; each prints a table
	for name in generation policy watermark audit credentials; do $(BIN)/python -m benchmarks.$$name; done

docs: $(DEV)         ## Check that every command and link in the documentation is true
	$(BIN)/python -m pytest tests/test_readme.py

clean:
	rm -rf $(VENV) demo dist build
