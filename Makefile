# make run    train a small GPT on text that is already on this machine, and look at the result
# make test   everything that CI runs
# make deep   what does not fit into CI; writes benchmarks/results/deep.json
# make bench  the figures of the README; writes benchmarks/results/*.json (an idle machine, please)

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# The oracle of the differential tests.  `make test TORCH=` goes without it, and those tests are skipped with that reason.
TORCH ?= torch==2.13.0
# Its functions are judged by gradcheck, too.
JAX ?= jax
# What the tests of the CUDA side need on a machine without a GPU: CuPy, which imports, and a compiler, which compiles.
CUDA ?= cupy-cuda13x "nvidia-cuda-nvrtc==13.0.*"
DATA ?= ../shared/data/tinyshakespeare.txt
SOURCES = setup.py pyproject.toml $(wildcard kernels/*/*.cpp kernels/include/*)

.PHONY: run test deep bench lint tiny units examples lines mutation clean

run: $(VENV)/run
	@$(BIN)/tinygrad-lm train --preset quick
	@echo "(the command is $(BIN)/tinygrad-lm; after '. $(BIN)/activate' it is plain tinygrad-lm)"

$(VENV)/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + ': make PYTHON=python3.11')"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: on Debian or Ubuntu, apt install python3-venv"; exit 1; }

$(VENV)/run: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[plot]"
	@touch $@

$(VENV)/test: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[plot,testing,tokenizers,bf16]" pytest-xdist coverage jsonschema ruff mypy $(TORCH) $(JAX) $(CUDA)
	@touch $@

# Tests use both cores by running in two processes, each with one thread.  Strict: a test that is skipped because
# something was not installed fails.
TEST = env OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(if $(TORCH),$(if $(JAX),$(if $(CUDA),TINYGRAD_LM_STRICT=1))) $(BIN)/python -m pytest -q

test: $(VENV)/test lint tiny units mutation examples lines

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

tiny: $(VENV)/test
	$(TEST) tests/test_tiny.py

units: $(VENV)/test
	$(TEST) -n 2 tests --ignore tests/test_examples.py --durations 10

examples: $(VENV)/test
	$(TEST) -n 2 tests/test_examples.py

lines:
	@$(PYTHON) tests/lines.py

# 200 changed pieces of core/ and ops/, drawn by the commit: how many do the tests notice?
mutation: $(VENV)/test
	env OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/mutation.py --sample 200

deep: $(VENV)/test
	$(BIN)/python benchmarks/deep.py --data $(DATA) --json benchmarks/results/deep.json

bench: $(VENV)/test
	$(BIN)/python benchmarks/import_time.py --json benchmarks/results/import_time.json
	$(BIN)/python benchmarks/tape.py --json benchmarks/results/tape.json
	$(BIN)/python benchmarks/gradcheck.py --json benchmarks/results/gradcheck.json
	$(BIN)/python benchmarks/memory.py --json benchmarks/results/memory.json
	$(BIN)/python benchmarks/kernels.py --json benchmarks/results/kernels.json
	$(BIN)/python benchmarks/train_step.py --json benchmarks/results/train_step.json
	$(BIN)/python benchmarks/train_step.py --profile --json benchmarks/results/train_step_profile.json
	$(BIN)/python benchmarks/readme_table.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
