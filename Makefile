PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# These extras have an environment of their own: mediapipe holds numpy at 1.26 and protobuf under what onnx needs.
EXTRAS := .venv-extras

.PHONY: demo test test-all test-extras lint setup setup-extras weights-research clean

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

# Trains what `research` holds, in about an hour and a quarter on two cores; needs ../shared (docs/weights.md).
weights-research: setup
	$(BIN)/whodrives train experiments/plus_motion.toml -o out/plus_motion
	$(BIN)/whodrives train experiments/plus.toml -o out/plus --init out/plus_motion/best.safetensors --refit-head 600
	$(BIN)/whodrives calibrate out/plus -o out/research.safetensors --card experiments/cards/research.toml

clean:
	rm -rf $(VENV) $(EXTRAS) demo
