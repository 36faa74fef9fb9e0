#!/usr/bin/env bash
# Writes the lists of components (CycloneDX 1.6, JSON) of the environment in .venv, and of each bundle that is named,
# into sbom/. The library that writes them is in .venv-sbom, made from the hashed lock requirements/sbom.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

digest=$(sha256sum requirements/sbom.txt)
if [ "$(cat .venv-sbom/.edgetune-pins 2>/dev/null)" != "$digest" ] || ! .venv-sbom/bin/python -c '' 2>/dev/null; then
  rm -rf .venv-sbom
  "${EDGETUNE_PYTHON:-.venv/bin/python}" -m venv .venv-sbom
  .venv-sbom/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/sbom.txt
  echo "$digest" >.venv-sbom/.edgetune-pins # last, so that an interrupted set-up is started again
fi
exec .venv-sbom/bin/python scripts/sbom.py sbom "${EDGETUNE_ENVIRONMENT:-.venv/bin/python}" "$@"
