# The README's two commands: `make demo` and `make test`. Nothing but Python 3.11+ is needed.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test quick coverage lint types imports wheel campaign results clean

demo: .venv/installed
	$(BIN)/egofeat demo

# A process a core, four at most, and one thread in each: torch's would step on each other.
# A process that is done takes over what the others have not begun.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test: .venv/installed
	$(PYTEST) --durations=40

# The main promises, for the loop of editing: plans and recipes, stores read and written, exact
# features of the videos of a small data set, heads that train, a run that can be done again.
QUICK = tests/recipe tests/adapters tests/store/reading tests/store/test_writer.py \
    tests/pipelines/extraction/test_extract.py tests/heads/test_build_head.py \
    tests/pipelines/training/test_fit.py tests/test_options.py tests/test_manifest.py \
    tests/test_layout.py

quick: .venv/installed
	$(PYTEST) -q -m "not slow and not real_data" -k "not killed" $(QUICK)

coverage: .venv/installed
	$(PYTEST) --cov --cov-report=term

# Kills, failing disks, flipped bits, hostile input, options together: docs/reliability.md. Hours;
# it goes on where it was. ARGS="--only kills --scale 0.1 --budget 600" for less.
campaign: .venv/installed
	$(BIN)/python -m tests.campaigns $(ARGS)

# The studies whose data are here, and the tables of docs/results.md: studies/list.yaml. What was
# done is not done again. STUDIES="demo-heads storage" for some of them.
results: .venv/installed
	$(BIN)/python studies/results.py run $(STUDIES)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

imports: .venv/installed
	$(BIN)/lint-imports

# Build source archive and wheel, install the wheel alone into a clean environment, run it there.
wheel: .venv/installed
	sh tests/wheel.sh $(BIN)/python

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[demo,dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info src/*.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache
