# Everything sets itself up with Python 3.11 or later, make and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip 25.1 is the first that knows dependency groups.
PIP_OPTIONS := --quiet --disable-pip-version-check
# Examples per property test; `make test` runs 15.
EXAMPLES ?= 100
# More workers than cores: many tests wait for I/O.
WORKERS ?= 4
# Where this is set, as in many containers, every process would compile the tests again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test combinations coverage lint format typecheck record notebooks jupyter docs site-check dist wheels features matrix bench bench-bulk bench-instructions conformance soak fuzz compare-faults models ledger torture storm screenshots engines rag tools clean

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

$(VENV)/ready: pyproject.toml
	@echo "Setting up $(VENV) with what tests, notebooks and documentation need: 240 packages, 1.4 GB; this takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	$(BIN)/python -m pip install $(PIP_OPTIONS) --editable ".[all]" --group test --group lint --group notebooks --group docs --group dist
	@touch $@ $(VENV)/demo-ready

# Less than a third of what the tests need, and in a fraction of the time.
$(VENV)/demo-ready: pyproject.toml demo/requirements.txt
	@$(PYTHON) -m demo.install $(VENV)
	@touch $@

$(VENV)/notebooks-ready: pyproject.toml notebooks/requirements.txt
	@$(PYTHON) -m demo.install $(VENV) notebooks/requirements.txt
	@touch $@

demo: $(VENV)/demo-ready ## Run the demo, live with TEXAPI_API_KEY, else against the embedded stand-in
	@$(BIN)/python -m demo

test: $(VENV)/ready ## Run the tests, offline and without a key
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

combinations: $(VENV)/ready ## Run what `make test` leaves out: every fault in every way, more examples of properties
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m combination
	EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/properties

coverage: $(VENV)/ready ## Run the tests of `make test` with branch coverage
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term

lint: $(VENV)/ready ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/ready ## Format the code and apply automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/ready ## Run strict type checks on packages and tests
	$(BIN)/mypy

record: $(VENV)/ready ## Record every cassette, live with TEXAPI_API_KEY, else against the stand-in
	$(BIN)/python -m pytest -m vcr --record-mode=rewrite

notebooks: $(VENV)/ready ## Execute every notebook and save its outputs, live with TEXAPI_API_KEY, else against the stand-in
	$(BIN)/python -m notebooks

jupyter: $(VENV)/notebooks-ready ## Open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

docs: $(VENV)/ready ## Build the documentation site in build/site; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/site

site-check: docs ## Check links of the site and, in Chromium where it is installed, its search and how its pages look
	@$(BIN)/python -m docs.check build/site

dist: $(VENV)/ready ## Build the distributions in dist/, check their metadata, and test the wheels in isolation
	@$(BIN)/python packaging

# In separate environments, one for each combination; needs uv.
wheels: ## Try the wheel on Python 3.11, 3.12 and 3.13 with each extra and both majors of openai; WHEELS="3.12" for one
	@$(PYTHON) packaging/wheels.py $(WHEELS)

features: $(VENV)/ready ## Regenerate the feature table of docs/langchain.md by running each feature
	$(BIN)/python -m tests.langchain.features --write

torture: $(VENV)/ready ## Check budgets of four processes, 20 calls each at once, while the ledger is locked, away or deleted
	@$(BIN)/python -m tests.accounting.torture

ledger: $(VENV)/ready ## Compare the ledger of 1,000 calls from four processes with the gateway's
	@$(BIN)/python -m tests.accounting.mixed_run

storm: $(VENV)/ready ## Send 400 documents from four processes to a server with rate limits, with and without headers; takes five minutes
	@$(BIN)/python -m tests.limits.storm $(STORM)

screenshots: $(VENV)/ready ## Redraw the screenshots of the command in docs/images
	@$(BIN)/python -m docs.screenshots

bench: $(VENV)/ready ## Measure the cost of a call compared with the openai SDK; BENCH="--rounds 3" for a short run
	@$(BIN)/python -m benchmarks $(BENCH)

bench-instructions: $(VENV)/ready ## Count the instructions of a call and a chunk by layers; needs valgrind
	@$(BIN)/python -m benchmarks.instructions

# LINES=1000000 takes hours on a slow machine.
LINES ?= 20000
bench-bulk: $(VENV)/ready ## Measure `texapi batch` on LINES requests beside a bare asyncio loop over the openai SDK
	@$(BIN)/python -m benchmarks.bulk $(LINES)

soak: $(VENV)/ready ## Make 10,000 calls, 5 % of them failing, and check them against the stand-in's ledger
	@$(BIN)/python -m tests.soak

# In a separate environment: the peers are not dependencies of this project. CLASS=OpenAILike runs that one
# and prints its table. A run that was stopped goes on where it was.
compare-faults: ## Run the fault table on ChatOpenAI and OpenAILike too, and write docs/faults.md
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	.venv-peers/bin/python -m pip install $(PIP_OPTIONS) --upgrade --editable ".[all]" --group test langchain-openai llama-index-llms-openai-like
	@.venv-peers/bin/python -m tests.faults $(if $(CLASS),$(CLASS),--write)

# In a separate environment: the packages are read, not used, so what they depend on is left out.
models: ## Make the tables of models and prices from what the providers' packages ship
	$(PYTHON) -m venv --clear .venv-models
	.venv-models/bin/python -m pip install $(PIP_OPTIONS) --no-deps langchain-openai langchain-anthropic langchain-google-genai langchain-xai langchain-deepseek langchain-openrouter litellm
	@.venv-models/bin/python -m tests.model_table --write

# In a separate environment: atheris has no wheel for every Python.
FUZZ_SECONDS ?= 3600
fuzz: ## Fuzz the reading of answers, streams and errors for FUZZ_SECONDS, guided by coverage
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	.venv-fuzz/bin/python -m pip install $(PIP_OPTIONS) --editable . atheris
	@.venv-fuzz/bin/python -m tests.fuzz $(FUZZ_SECONDS)

# In a separate environment: the engines are large. Celery needs redis-server, Spark needs Java.
engines: ## Run examples/ on Dask, Ray, Spark and Celery against the stand-in, and kill a worker of each
	$(PYTHON) -m venv --clear .venv-engines
	.venv-engines/bin/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	.venv-engines/bin/python -m pip install $(PIP_OPTIONS) --editable ".[langchain,llama-index]" "dask[distributed]" pandas pyarrow "ray[data]" pyspark "celery[redis]" pyyaml uvicorn starlette
	@.venv-engines/bin/python -m examples

rag: $(VENV)/ready ## Run the examples of RAG in bulk on 1,000 documents in two processes, and kill one
	@DOCUMENTS=1000 $(BIN)/python -m examples.rag

tools: $(VENV)/ready ## Install Aider, Continue, Cline and the SDKs for Python and Node, ask the stand-in through each, and write the versions into docs/tools.md; needs npm
	@$(BIN)/python -m tests.tools $(or $(TOOLS),--write)

# Each environment is created from scratch; tests/lowest.txt pins the lowest declared version of every dependency.
MATRIX := openai2 openai3 lowest
matrix: $(MATRIX:%=matrix-%) ## Run the tests on openai 2 and 3 and on the lowest declared versions

matrix-openai2: VERSIONS := "openai<3"
matrix-openai3: VERSIONS := "openai>=3"
matrix-lowest: VERSIONS := --constraint tests/lowest.txt
matrix-%:
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	.venv-$*/bin/python -m pip install $(PIP_OPTIONS) --editable ".[all]" --group test --group notebooks $(VERSIONS)
	.venv-$*/bin/python -m pip list --disable-pip-version-check | grep -E "^(openai|langchain-core|llama-index-core|pydantic|vcrpy) "
	EXAMPLES=$(EXAMPLES) .venv-$*/bin/python -m pytest -n $(WORKERS) --dist worksteal -m ""

# Uses openai 2, which the peer requires.
conformance: ## Run the conformance suite for TexAPI and for LlamaIndex's OpenAILike, and write the table of docs/llama_index.md
	$(PYTHON) -m venv --clear .venv-conformance
	.venv-conformance/bin/python -m pip install $(PIP_OPTIONS) "pip>=25.1"
	.venv-conformance/bin/python -m pip install $(PIP_OPTIONS) --editable ".[all]" --group test llama-index-llms-openai-like
	.venv-conformance/bin/python -m tests.conformance --write

clean: ## Remove the environments created by make
	rm -rf .venv .venv-conformance .venv-engines .venv-fuzz .venv-models .venv-peers .venv-openai2 .venv-openai3 .venv-lowest
