PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# These extras have an environment of their own: mediapipe holds numpy at 1.26 and protobuf under what onnx needs.
EXTRAS := .venv-extras

.PHONY: demo test test-all test-extras lint setup setup-extras weights-research weights-open clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,onnx]"
	touch $@

setup-extras: $(EXTRAS)/.installed

$(EXTRAS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(EXTRAS)
	$(EXTRAS)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,landmarks,heads]"
	touch $@

demo: setup
	$(BIN)/whodrives demo

test: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m "not slow"

test-all: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal

test-extras: setup-extras
	$(EXTRAS)/bin/python -m pytest -q -m extras

lint: setup
	$(BIN)/ruff check --no-cache .
	$(BIN)/mypy

# Train what `research` and `open` hold, each in about an hour; `research` needs ../shared (docs/weights.md).
weights-research: setup
	$(BIN)/whodrives train experiments/plus.toml -o out/plus --refit-head 600
	$(BIN)/whodrives calibrate out/plus -o out/research.safetensors --card experiments/cards/research.toml

weights-open: setup
	$(BIN)/whodrives train experiments/open.toml -o out/open --refit-head 600
	$(BIN)/whodrives calibrate out/open -o out/open.safetensors --card experiments/cards/open.toml

clean:
	rm -rf $(VENV) $(EXTRAS) demo
