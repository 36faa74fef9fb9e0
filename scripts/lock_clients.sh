#!/usr/bin/env bash
# Resolves the pins of the clients that the tests are accepted by: tests/clients/requirements-*.in into *.txt, with
# hashes. Arguments go to `uv pip compile`, such as --upgrade.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages of this machine's own folders would bring hashes that no one else has.
unset PIP_FIND_LINKS UV_FIND_LINKS VIRTUAL_ENV
compile() {
  .venv/bin/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --python .venv/bin/python --python-version "$1" "tests/clients/requirements-$2.in" \
    -o "tests/clients/requirements-$2.txt" "${@:3}"
}
compile 3.11 mediapipe "$@"
compile 3.10 tflite-runtime "$@"
compile 3.10 model-signing "$@"
compile 3.10 hadolint "$@"

# The packages that build the documentation and the lists of components are not clients, but are locked in the same way.
for name in docs sbom; do
  .venv/bin/uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --python .venv/bin/python --python-version 3.10 "requirements/$name.in" \
    -o "requirements/$name.txt" "$@"
done

# Flink's jars alone: what the package asks for beside them is for its Python side.
.venv/bin/uv pip compile -q --no-deps --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
  --no-emit-find-links --python .venv/bin/python --python-version 3.10 tests/engine/requirements-flink.in \
  -o tests/engine/requirements-flink.txt "$@"
