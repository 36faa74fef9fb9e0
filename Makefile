# edgetune: `make help` lists the targets. Each builds the environment in .venv first, if it is not there.

STAMP := .venv/.edgetune
ARGS ?=
# Where memory is slow, huge pages spare a quarter of the time of tracing graphs. glibc before 2.35 ignores it.
HUGE_PAGES := GLIBC_TUNABLES=glibc.malloc.hugetlb=1 PYTHONMALLOC=malloc
# Only as `make ... GPU=1`: on shared machines the environment often has a GPU of its own, a number.
ifneq ($(origin GPU),command line)
GPU :=
endif

.PHONY: help setup run test large-test mutation-test engine-test cloud-test image-check test-next lint docs audit sbom lock schema pretrain FORCE
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

setup: $(STAMP) ## Build the environment in .venv (EDGETUNE_PYTHON=... names the interpreter; GPU=1 adds CUDA, GPU=0 goes back)

run: $(STAMP) ## Run the whole pipeline on the embedded digits; ARGS="--data DIR" for your own images
	.venv/bin/edgetune run $(ARGS)

test: $(STAMP) ## Run the tests; ARGS="-k config" for some
	$(HUGE_PAGES) .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

large-test: $(STAMP) ## Run what takes long: other architectures, platforms, foreign clients, several processes, photographs of EDGETUNE_TEST_DATA=DIR (tests/helpers/photographs.py says which)
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m large $(ARGS)

mutation-test: $(STAMP) ## Break each promise of tests/mutations on purpose, and check that its test fails; ARGS="--only TEXT" for some
	.venv/bin/python -m tests.mutations.run $(ARGS)

engine-test: $(STAMP) ## Run the whole demo on a Flink cluster of this machine, and compare (Java, Maven, 10 minutes)
	.venv/bin/python -m pytest -n0 -s -m "" tests/engine/test_flink.py tests/engine/demo_on_flink.py $(ARGS)

cloud-test: $(STAMP) ## Run with images, artifacts and pushes on a stand-in for Google Cloud Storage (10 minutes)
	.venv/bin/python -m pytest -n0 tests/e2e/run_on_cloud_storage.py $(ARGS)

image-check: $(STAMP) ## Carry out the Dockerfile without an engine, and use what comes out (5 GB, some minutes)
	.venv/bin/python -m tests.programs.check_image

test-next: ## Run all of it on TFX 1.21 in a Debian 13; ONLY, STEPS and ARGS choose (an hour, 15 GB)
	@scripts/test_next.sh

lint: $(STAMP) ## Check style and types
	scripts/lint.sh

docs: ## Build the documentation site into site/, strictly, in an environment of its own
	@scripts/docs.sh $(ARGS)

audit: $(STAMP) ## Ask OSV for known vulnerabilities of the locked packages (requirements/accepted.toml has the accepted ones)
	.venv/bin/python scripts/audit.py $(ARGS)

sbom: $(STAMP) ## List the components of the environment, and of bundles ARGS="DIR...", as CycloneDX in sbom/
	@scripts/sbom.sh $(ARGS)

lock: $(STAMP) ## Resolve the locks anew; ARGS="--upgrade" takes the newest versions
	scripts/lock.sh $(ARGS)

schema: $(STAMP) ## Generate the JSON schemas in schemas/ and docs/configuration.md from the settings
	.venv/bin/edgetune config --schema > schemas/config.json.part && mv schemas/config.json.part schemas/config.json
	.venv/bin/edgetune config --bundle-schema > schemas/bundle.json.part && mv schemas/bundle.json.part schemas/bundle.json
	.venv/bin/edgetune config --reference > docs/configuration.md.part && mv docs/configuration.md.part docs/configuration.md

pretrain: $(STAMP) ## Make the demo's backbone weights again
	.venv/bin/python -m edgetune.weights.pretrain $(ARGS)

# The script compares contents, so a newer time stamp alone costs nothing.
$(STAMP): $(wildcard requirements/*.txt) setup.py scripts/setup_env.sh scripts/find_python.sh .venv/bin/python
	@scripts/setup_env.sh

# Where the interpreter behind the environment is gone, the environment is made anew.
.venv/bin/python:

# So it is where the repository was moved (the scripts in .venv name its folder), or another interpreter is asked for.
# With GPU given, the script looks whether anything changes.
MOVED := $(if $(shell grep -xF "root $(CURDIR)" $(STAMP) 2>/dev/null),,moved)
ifneq ($(MOVED)$(EDGETUNE_PYTHON)$(GPU),)
$(STAMP): FORCE
endif
FORCE:
