#!/usr/bin/env bash
# Builds the documentation site into site/, in the environment .venv-docs, which is made from the hashed lock
# requirements/docs.txt. Arguments go to `mkdocs build`. No TensorFlow is needed: any Python from 3.10 on will do.
set -euo pipefail
cd "$(dirname "$0")/.."

digest=$(sha256sum requirements/docs.txt)
if [ "$(cat .venv-docs/.edgetune-pins 2>/dev/null)" != "$digest" ] || ! .venv-docs/bin/python -c '' 2>/dev/null; then
  python=${EDGETUNE_PYTHON:-}
  if [ -z "$python" ]; then
    if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=python3; fi
  fi
  rm -rf .venv-docs
  "$python" -m venv .venv-docs
  .venv-docs/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/docs.txt
  echo "$digest" >.venv-docs/.edgetune-pins # last, so that an interrupted set-up is started again
fi
# Material announces its successor at every start; the versions are locked.
NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs build --strict "$@" # --quiet would drop the warnings that strict counts
echo "edgetune: the documentation is in site/index.html"
