# One command per habit. Each sets up .venv by itself; a second call finds it ready.
#
#   make demo    a small complete study on built-in synthetic tissue -> studies/demo/report.html
#   make test    all tests, JOBS at once    make check   format, lint, types
#   make bench   the benchmarks that this machine can run
#
# Accelerators: make .venv EXTRAS=cuda13,convert,test (or cuda12), then as above.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS ?= convert,test
JOBS ?= 2
BIN := .venv/bin
comma := ,
ifeq ($(origin EXTRAS),file)  # not asked for: an environment that stands serves, whatever its extras
MADE := $(firstword $(wildcard .venv/.ready-*))
EXTRAS := $(if $(MADE),$(subst -,$(comma),$(MADE:.venv/.ready-%=%)),$(EXTRAS))
endif
READY := .venv/.ready-$(subst $(comma),-,$(EXTRAS))
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: .venv demo test check format bench clean

.venv: $(READY)

# torch goes first and pinned: a build that is there, such as one for CPUs from PyTorch's own index, is kept. Elsewhere pip
# may take the build with gigabytes of CUDA packages.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jaxseg needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@rm -f .venv/.ready-*
	@touch $@

demo: .venv
	$(BIN)/python launch/prepare.py synthetic_glands_a synthetic_glands_b synthetic_nuclei_a
	$(BIN)/python launch/sweep.py configs/demo.py --out studies/demo --gpus none

test: .venv
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile  # what a file's tests share is made once

check: .venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info build
