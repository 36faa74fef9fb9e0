#!/usr/bin/env bash
# Builds the environment in .venv from the lock that fits this machine, and installs edgetune into it, editable.
#
# Done is what the stamp .venv/.edgetune says: it is written last, so that an interrupted set-up is started afresh.
# Where only the lock or setup.py changed, what is there is brought up to date.
#
# GPU=1 installs the CUDA libraries that TensorFlow names too, GPU=0 takes them away again. Without either it stays as it
# is: the stamp names the locks.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(pwd -P)

stamp=.venv/.edgetune
say() { echo "edgetune set-up: $*"; }
fail() { echo "edgetune: $*" >&2; exit 1; }

case ${GPU:-} in
  0 | 1) gpu=$GPU ;;
  "") gpu=$(grep -cm 1 -- '-gpu\.txt$' "$stamp" 2>/dev/null || true) ;;
  *) fail "GPU=$GPU cannot be used: GPU=1 installs what TensorFlow needs for an NVIDIA GPU, GPU=0 takes it away." ;;
esac

state() { # what the stamp must say for an interpreter ($1) and a lock ($2)
  "$1" -c 'import platform; print("python", platform.python_version())'
  echo "root $root" # the scripts in .venv/bin name this folder
  sha256sum $(locks "$2") setup.py
}
locks() { # the files of a lock ($1)
  echo "requirements/$1.txt"
  if [ "$gpu" = 1 ]; then echo "requirements/$1-gpu.txt"; fi
}

if [ -e "$stamp" ] && .venv/bin/python -c '' 2>/dev/null && grep -qxF "root $root" "$stamp"; then
  choice=$(EDGETUNE_PYTHON=${EDGETUNE_PYTHON:-.venv/bin/python} scripts/find_python.sh)
else
  choice=$(scripts/find_python.sh)
fi
python=${choice% *} lock=${choice##* }
wanted=$(state "$python" "$lock")
if [ -e "$stamp" ] && [ "$wanted" = "$(cat "$stamp")" ]; then
  touch "$stamp"
  exit 0
fi

# Both generations of TFX need pyfarmhash, which has no wheel.
command -v g++ >/dev/null || fail "a C++ compiler is needed to build pyfarmhash: install g++ (Debian: build-essential)."
"$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
  fail "the headers of $python are needed to build pyfarmhash: install them (Debian: python3-dev)."

if [ ! -e "$stamp" ] || [ "$(head -n 2 <<<"$wanted")" != "$(head -n 2 "$stamp")" ]; then
  if [ -e .venv ]; then say "removing a .venv that is incomplete or of another Python"; fi
  say "new environment in .venv, $("$python" -V) ($python)"
  rm -rf .venv
  "$python" -m venv .venv || fail "$python could not make .venv: see above."
fi
rm -f "$stamp"

say "installing requirements/$lock.txt (about 3 GB, some minutes the first time)"
if [ "$gpu" = 1 ]; then say "and requirements/$lock-gpu.txt: CUDA, 2 to 3 GB more to download"; fi
export UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300} PIP_DISABLE_PIP_VERSION_CHECK=1
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT
# The lock pins the installer as well, and pip can check its hash. uv then is several times faster than pip.
awk '/^[^ #]/ {inside = /^uv==/} inside' "requirements/$lock.txt" >.venv/uv.txt
.venv/bin/python -m pip install -q --no-deps --require-hashes -r .venv/uv.txt ||
  fail "pip could not install uv from the lock: see above; is the package index reachable?"
# Source distributions are built with the locked setuptools too: newer ones lack pkg_resources.
# Byte code is made now: importing TFX takes 6 s with it and 16 s without, and where Python may not write any
# (PYTHONDONTWRITEBYTECODE, a read-only image) every process would pay that again.
.venv/bin/uv pip sync -q --python .venv/bin/python --require-hashes --compile-bytecode \
  --build-constraints "requirements/$lock.txt" $(locks "$lock") ||
  fail "the packages of requirements/$lock.txt could not be installed: see above."
.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e . ||
  fail "edgetune itself could not be installed: see above."

echo "$wanted" >"$stamp.part"
mv "$stamp.part" "$stamp"
say "ready after $SECONDS s"
