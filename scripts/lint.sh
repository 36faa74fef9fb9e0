#!/usr/bin/env bash
# Style, types and shell syntax.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff check .
.venv/bin/mypy
for script in scripts/*.sh .ci/run; do bash -n "$script"; done
