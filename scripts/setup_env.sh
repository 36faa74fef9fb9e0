#!/usr/bin/env bash
# Builds the environment in .venv from the lock that fits this machine, and installs edgetune into it, editable.
#
# Done is what the stamp .venv/.edgetune says: it is written last, so that an interrupted set-up is started afresh.
# Where only the lock or setup.py changed, what is there is brought up to date.
#
# GPU=1 installs the CUDA libraries that TensorFlow names too, GPU=0 takes them away again. Without either it stays as it
# was chosen: .venv.gpu says so, and outlives a set-up that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$(pwd -P)

stamp=.venv/.edgetune
say() { printf 'edgetune set-up: %3d s  %s\n' "$SECONDS" "$*"; }
fail() { echo "edgetune: $*" >&2; exit 1; }

case ${GPU:-} in
  1) touch .venv.gpu ;;
  0) rm -f .venv.gpu ;;
  "") ;;
  *) fail "GPU=$GPU cannot be used: GPU=1 installs what TensorFlow needs for an NVIDIA GPU, GPU=0 takes it away." ;;
esac
gpu=0
if [ -e .venv.gpu ]; then gpu=1; fi

state() { # what the stamp must say for an interpreter ($1) and a lock ($2)
  "$1" -c 'import platform; print("python", platform.python_version())'
  echo "root $root" # the scripts in .venv/bin name this folder
  sha256sum $(locks "$2") setup.py
}
locks() { # the files of a lock ($1)
  echo "requirements/$1.txt"
  if [ "$gpu" = 1 ]; then echo "requirements/$1-gpu.txt"; fi
}

every=${EDGETUNE_PROGRESS_SECONDS:-10}

# Reads what uv says and says how far it is: a line when a step ends, and one every 10 s in between, on a terminal and
# elsewhere. uv's list of packages is left out; its warnings and errors are passed on.
progress() {
  local line="" part text code told=$SECONDS doing="looking at the index" MiB=0 done=0
  local -A size=()
  while :; do
    code=0
    IFS= read -r -t 1 part || code=$?
    line+=$part
    if [ "$code" = 0 ] || { [ "$code" -le 128 ] && [ -n "$line" ]; }; then # else the time is over in mid-line
      text=${line#"${line%%[! ]*}"}
      case $text in
        "Downloading "*)
          if [[ $text =~ ^Downloading\ (.*)\ \(([0-9]+).*MiB\) ]]; then
            size[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
            MiB=$((MiB + BASH_REMATCH[2]))
          fi
          doing="downloaded $done of $MiB MiB"
          ;;
        "Downloaded "*)
          done=$((done + ${size[${text#Downloaded }]:-0}))
          doing="downloaded $done of $MiB MiB"
          ;;
        "Building "*) say "building ${text#Building }" ;;
        "Prepared "*) say "downloaded $MiB MiB: ${text,}" && doing="installing" ;;
        "Installed "*) say "${text,}" && doing="compiling byte code" ;;
        "Bytecode compiled "*) say "${text,}" && doing="finishing" ;;
        "" | "Using Python "* | "Resolved "* | "Built "* | "Checked "* | "Uninstalled "* | [-+~]" "*) ;;
        *) echo "$line" >&2 ;;
      esac
      line=""
    fi
    if [ "$code" != 0 ] && [ "$code" -le 128 ]; then return; fi
    if [ $((SECONDS - told)) -ge "$every" ]; then
      say "$doing"
      told=$SECONDS
    fi
  done
}

if [ -e "$stamp" ] && .venv/bin/python -c '' 2>/dev/null && grep -qxF "root $root" "$stamp"; then
  # An environment keeps its interpreter, and with it the TFX that its workdirs were made with.
  export EDGETUNE_PYTHON=${EDGETUNE_PYTHON:-.venv/bin/python}
  # What is up to date needs neither a search nor what builds.
  lock=$(sed -n 's|.* requirements/\([a-z0-9]*\)\.txt$|\1|p' "$stamp")
  if [ "$(state "$EDGETUNE_PYTHON" "$lock" 2>/dev/null)" = "$(cat "$stamp")" ]; then
    touch "$stamp" 2>/dev/null || true # of an environment that may not be written, nothing is wanted
    exit 0
  fi
fi
choice=$(scripts/find_python.sh)
python=${choice% *} lock=${choice##* }
wanted=$(state "$python" "$lock")

anew=0
if [ ! -e "$stamp" ] || [ "$(head -n 2 <<<"$wanted")" != "$(head -n 2 "$stamp")" ]; then anew=1; fi
rm -f "$stamp"
if [ "$anew" = 1 ]; then
  if [ -e .venv ]; then say "removing a .venv that is incomplete or of another Python"; fi
  say "new environment in .venv, $("$python" -V) ($python)"
  rm -rf .venv
  "$python" -m venv .venv || fail "$python could not make .venv: see above."
fi

say "installing what requirements/$lock.txt lists (3 GB on the disk; 1 GB to download, the first time)"
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
.venv/bin/uv pip sync --color never --python .venv/bin/python --require-hashes --compile-bytecode \
  --build-constraints "requirements/$lock.txt" $(locks "$lock") 2>&1 | progress ||
  fail "the packages of requirements/$lock.txt could not be installed: see above."
.venv/bin/uv pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e . ||
  fail "edgetune itself could not be installed: see above."

echo "$wanted" >"$stamp.part"
mv "$stamp.part" "$stamp"
say "ready"
