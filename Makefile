# Everything a fresh machine needs: Python 3.11 or newer and a package index. `make run` shows the idea, `make test` checks it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: install run results results-check check test gpu demo lab shipped-adapters app docs chaos soak locks clean

install: $(VENV)/.installed

# The stamp is newer than the lock: the environment is as locked, and nothing is installed again.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + ": name another with make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-hashed.lock # no file but those that were locked
	$(BIN)/python -m pip install --quiet -r requirements.lock # adds torch, whose build differs by machine
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.lock
	$(BIN)/python -m pip install --quiet -r requirements-test.lock
	@touch $@

run: install
	$(BIN)/kadapter run embedded

results: install # runs what README and docs quote (hours from nothing; finished stages are kept), and writes the numbers
	$(BIN)/python -m kadapter.cli.quoted run $(ONLY)

results-check: install # fails where README or docs say something else than the runs that are there
	$(BIN)/python -m kadapter.cli.quoted check

check: $(VENV)/.installed-test # format, lint, the plan of imports, types; mypy keeps what it knows: minutes, then seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile # tests of a file share their fixtures

gpu: $(VENV)/.installed-test # what a GPU does: its tests, and a table with the card's name in gpu.txt
	$(BIN)/kadapter bench gpu
	$(BIN)/python -m pytest tests/training/test_cuda.py

demo: install # the idea in the terminal; nothing is trained
	$(BIN)/kadapter demo

lab: install # the whole project is served, the first notebook opened
	$(BIN)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb # root: in containers

shipped-adapters: $(VENV)/.installed # the models of `kadapter demo` and notebook 00, trained anew
	$(BIN)/python -m kadapter.experiment.shipped

app: $(VENV)/.installed-test # the case study at the address with its token, no code to be seen
	$(BIN)/python -m widgets.serve --Voila.ip=127.0.0.1

docs: $(VENV)/.installed-test # the site, in docs/_build/html, every notebook executed; a warning is an error
	$(BIN)/sphinx-build -W --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

chaos: $(VENV)/.installed-test # hours of faults: kills, full disks, damaged files, bad input; stopped, it goes on (docs/reliability.md)
	$(BIN)/python -m tests.chaos

soak: $(VENV)/.installed-test # the application with 50 people at it for two hours
	$(BIN)/python -m tests.soak

locks: $(VENV)/.installed-test # the hashes of requirements.lock, and whether locks and lowest versions can be had
	$(BIN)/python -m tests.locks

clean:
	rm -rf docs/_build docs/generated docs/notebooks $(VENV) build dist *.egg-info
