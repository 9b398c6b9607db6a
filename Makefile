# What a newcomer needs: `make demo` runs the demo, `make test` runs the tests. Both make their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_ARGS ?= -n auto --dist loadfile
AGENTS ?= claude,codex,opencode,gemini,pi,qwen,cline,aider,mini,deepagents
AGENT_ARGS ?=

.PHONY: demo demo-quick test agents matrix foreign lint types docs check clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[local,report]"
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[all]" --group test
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/langroute demo

demo-quick: $(VENV)/.demo
	$(BIN)/langroute demo --quick

test: $(VENV)/.test
	$(BIN)/python -m pytest $(TEST_ARGS)

# Coding agents as they are installed, through the gateway, in a namespace without a network (as root, on Linux).
agents: $(VENV)/.test
	$(PYTHON) tests/gateway/install_agents.py build/agents --only $(AGENTS)
	LANGROUTE_AGENTS=$(CURDIR)/build/agents $(BIN)/python -m pytest tests/gateway/test_real_clients.py $(AGENT_ARGS)

matrix:
	$(PYTHON) tests/run_matrix.py

# The tests of LangChain's agents, langgraph-prebuilt and deepagents with a router in their models' place.
foreign:
	$(PYTHON) tests/foreign/run.py $(FOREIGN_ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.lint
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

check: lint types docs test

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .hypothesis
