#!/usr/bin/env bash
# What the Dockerfile does with Python, so that it can be tried without Docker: `make image-check`.
#
#     install_in_image.sh packages VENV        an environment with the locked packages, without what only builds and tests
#     install_in_image.sh wheel VENV FOLDER    a wheel of edgetune, built with the setuptools of that environment
set -euo pipefail
cd "$(dirname "$0")/.."

lock=requirements/tfx121.txt
# Those of the lock that only build, test or check. uv is last: it takes itself away.
tools=(mypy pytest pyvips pyvips-binary pytest-xdist ruff types-pyyaml uv)

packages() {
  local venv=$1 site
  python -m venv "$venv"
  # The lock pins the installer as well, and pip can check its hash. uv then is several times faster than pip.
  awk '/^[^ #]/ {inside = /^uv==/} inside' "$lock" >"$venv/uv.txt"
  "$venv/bin/python" -m pip install -q --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
    -r "$venv/uv.txt"
  rm "$venv/uv.txt"
  # Source distributions are built with the locked setuptools too: newer ones lack pkg_resources.
  # Byte code is made now: importing TFX takes 6 s with it and 16 s without, and the image's user may not write any.
  "$venv/bin/uv" pip sync -q --python "$venv/bin/python" --require-hashes --compile-bytecode --link-mode copy \
    --build-constraints "$lock" "$lock"
  "$venv/bin/uv" pip uninstall -q --python "$venv/bin/python" "${tools[@]}"
  # What C++ is compiled against.
  site=$(echo "$venv"/lib/python3*/site-packages)
  rm -rf "$site"/{tensorflow,pyarrow}/include
}

wheel() {
  "$1/bin/python" -m pip wheel -q --no-cache-dir --disable-pip-version-check --no-deps --no-index --no-build-isolation \
    --wheel-dir "$2" .
}

"$@"
