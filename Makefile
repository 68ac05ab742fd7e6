# `make demo` and `make test` need Python 3.11 or newer and a package registry, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On Linux a plain "pip install torch" brings gigabytes of CUDA. Where this release is to be had as a CPU build, it is
# installed first; set TORCH= to take whatever pip chooses.
TORCH ?= torch==2.13.0
# The oldest versions that pyproject.toml declares.
OLDEST := torch==2.13.0 transformers==5.3.0 accelerate==1.4.0 av==15.0.0 datasets==4.0.0 filelock==3.16.0 ftfy==6.1.1 hypothesis==6.100.0 \
          h5py==3.12.0 lmdb==1.5.1 scikit-image==0.25.0 matplotlib==3.9.0 numpy==2.0.2 pillow==10.4.0 playwright==1.49.0 pyarrow==21.0.0 rich==13.7.0 \
          safetensors==0.5.0 scipy==1.13.0 soundfile==0.13.0 spacy==3.8.2 torch-geometric==2.6.1 tqdm==4.66.3 \
          typer==0.24.0 optuna==4.0.0 peft==0.21.0 pycocoevalcap==1.2 scikit-learn==1.5.0 tensorboard==2.18.0

.PHONY: setup demo test test-oldest lint format audit bench docs clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(TORCH),$(BIN)/python -m pip install --quiet $(TORCH))
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	# For CLIP's vocabulary alone: with what it depends on it would bring torchvision.
	$(BIN)/python -m pip install --quiet --no-deps open-clip-torch==3.3.0
	touch $@

demo: setup
	$(BIN)/polysense demo

test: setup
	$(BIN)/python -m pytest --quiet -n 2

# The same tests on the oldest versions, in an environment of their own.
test-oldest:
	$(MAKE) setup VENV=.venv-oldest
	.venv-oldest/bin/python -m pip install --quiet $(OLDEST)
	.venv-oldest/bin/python -m pytest --quiet -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Known holes of what is installed, as PyPI's JSON service tells them; without it this fails. The tool has an environment
# of its own. A version's "+cpu" is torch's alone: PyPI knows the release without it.
audit: setup
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip list --format freeze --exclude-editable > .venv-audit/listed.txt
	sed 's/+[^=]*$$//' .venv-audit/listed.txt > .venv-audit/installed.txt
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/installed.txt

bench: setup
	$(BIN)/python -m benchmarks

# The site, in build/docs; any warning is an error. All is read anew, since a page that was read once warns no more.
docs: setup
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --doctree-dir build/doctrees docs build/docs

clean:
	rm -rf build demo-output .venv .venv-oldest .venv-audit
