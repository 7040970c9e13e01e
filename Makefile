# Each target makes .venv itself when it is missing, with the versions that the tests passed with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A part of others; an hour of training each; files that the repository has not: the last three are run by hand.
BY_HAND := benchmarks/training_step.py benchmarks/graft_starts.py benchmarks/whisper_context.py benchmarks/whisper_sizes.py

.PHONY: demo test soak bench clean

demo: $(VENV)/installed
	$(BIN)/python tasks/accent_ctc.py run --out runs/demo
	$(BIN)/python tasks/translate_phrases.py run --out runs/demo-translation

test: $(VENV)/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet .
	$(BIN)/python -m pytest -q

soak: $(VENV)/installed
	$(BIN)/python -m pytest -q -m soak

bench: $(VENV)/installed
	for script in $(filter-out $(BY_HAND),$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "speechxfer needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[demo,dev]"
	touch $@

clean:
	rm -rf $(VENV) runs
