#!/usr/bin/env bash
# Proves the last commit on TFX 1.21: `make test-next`. In a Debian 13 (scripts/debian13.sh), from a clean clone for
# each Python: the environment from the lock, `make run` and all tests on 3.13, the end-to-end part on 3.12 and 3.11.
# Prints a table; exits with 1 where anything in it failed or could not be tried.
#
#     ONLY="3.12 3.11"    these Pythons
#     STEPS="run test"    these steps: run, test, e2e, image (`make image-check`)
#     ARGS="-k config"    what `test` gives to pytest
#
# A chosen step is tried anew, and the table shows what is known of this commit: so it can be done piece by piece.
# Logs and results are in test-next/COMMIT/ below $EDGETUNE_CACHE (~/.cache/edgetune). $TMPDIR needs some 10 GB.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "edgetune: $*" >&2; exit 2; }
say() { echo "edgetune test-next: $*"; }

pythons=(${ONLY:-3.13 3.12 3.11})
chosen=(${STEPS:-})
for python in "${pythons[@]}"; do
  case $python in 3.13 | 3.12 | 3.11) ;; *) fail "ONLY=$python: TFX 1.21 is for Python 3.13, 3.12 and 3.11." ;; esac
done
for step in ${chosen[@]+"${chosen[@]}"}; do
  case $step in run | test | e2e | image) ;; *) fail "STEPS=$step: the steps are run, test, e2e and image." ;; esac
done
tests=${ARGS:-}
unset ARGS EDGETUNE_PYTHON MAKEFLAGS MAKELEVEL

commit=$(git rev-parse --short=12 HEAD)
[ -z "$(git status --porcelain)" ] || say "what is not committed is not tried"
logs=${EDGETUNE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgetune}/test-next/$commit
mkdir -p "$logs"
work=$(mktemp -d "${TMPDIR:-/tmp}/edgetune-test-next-XXXXXX")
say "$commit, logs in $logs"

# The first call makes it, and says what is missing where it cannot.
debian() { scripts/debian13.sh "$work" "$@"; }

# A file that a container's root made is removed by the same.
remove() { rm -rf "$1" 2>/dev/null || { debian find /project /tmp -mindepth 1 -delete && rm -rf "$1"; }; }
trap 'remove "$work"' EXIT
debian true

# Prints an interpreter of version $1 that has all of the standard library: the system's, pyenv's, or one through uv.
# shellcheck disable=SC2016
interpreter='
  complete() { "$1" -c "import bz2, ctypes, ensurepip, lzma, sqlite3, ssl, sys; assert sys.version_info[:2] == ($2)"; }
  for python in /usr/bin/python$1 "$PYENV_ROOT"/versions/$1.*/bin/python; do
    if [ -x "$python" ] && complete "$python" "${1/./, }"; then echo "$python"; exit; fi
  done
  uv=$(mktemp -d)
  awk "/^[^ #]/ {inside = /^uv==/} inside" requirements/tfx121.txt >"$uv/lock.txt"
  python3 -m venv "$uv" && "$uv/bin/python" -m pip install -q --no-deps --require-hashes -r "$uv/lock.txt" >&2
  "$uv/bin/uv" python install -q "$1" >&2 && "$uv/bin/uv" python find --managed-python "$1"'
versions='import importlib.metadata as m, platform
print(platform.python_version(), m.version("tfx"), m.version("tensorflow"), sep="\t")'

# Runs a step ($1, $2 Python and name; the rest is the command) and keeps what came of it.
try() {
  local python=$1 step=$2 log=$logs/$1-$2.log began=$SECONDS code=0 result=ok last="" counts="" what found
  shift 2
  say "$python $step ..."
  debian "$@" >"$log" 2>&1 </dev/null || code=$?
  if [ "$code" != 0 ]; then
    # What make was told, rather than its own 2.
    found=$(sed -nE 's/^make: \*\*\* .*Error ([0-9]+)$/\1/p' "$log" | tail -n 1)
    result="exit ${found:-$code}"
    tail -n 15 "$log" | sed 's/^/    /'
  fi
  last=$(grep -E '^=+ .* in [0-9.]+s' "$log" | tail -n 1 || true)
  for what in passed 'failed|errors?' skipped; do
    counts+=$'\t'$(awk -v what="^($what),?\$" \
      '{for (i = 2; i <= NF; i++) if ($i ~ what) n += $(i - 1)} END {print n + 0}' <<<"$last")
  done
  [ -n "$last" ] || counts=$'\t\t\t'
  printf '%s\t%s%s\t%s\n' "$step" "$result" "$counts" $((SECONDS - began)) >"$logs/$python-$step.result"
  say "$python $step: $result, $((SECONDS - began)) s"
  return "$code"
}

for python in "${pythons[@]}"; do
  steps=("${chosen[@]+"${chosen[@]}"}")
  if [ ${#chosen[@]} = 0 ]; then
    if [ "$python" = 3.13 ]; then steps=(run test); else steps=(e2e); fi
  fi
  rm -f "$logs/$python-setup.result"
  remove "$work/project"
  git clone -q . "$work/project"
  # The repository may have moved on since the first Python.
  git -C "$work/project" checkout -q --detach "$commit"
  if ! found=$(debian bash -c "$interpreter" _ "$python" 2>"$logs/$python-setup.log"); then
    printf 'setup\tnot available\t\t\t\t\n' >"$logs/$python-setup.result"
    say "Python $python is not available: not in Debian 13, under pyenv or through uv (see $logs/$python-setup.log)"
    continue
  fi
  say "$python is $found"
  export EDGETUNE_PYTHON=$found
  try "$python" setup make setup || continue
  debian .venv/bin/python -c "$versions" >"$logs/$python.versions"
  for step in "${steps[@]}"; do
    case $step in
      run) try "$python" run make run || true ;;
      test) ARGS=$tests try "$python" test make test || true ;;
      e2e) ARGS=tests/e2e/test_runs.py try "$python" e2e make test || true ;;
      image) try "$python" image make image-check || true ;;
    esac
  done
done

line() { printf '%-8s %-8s %-11s %-6s %-14s %7s %7s %8s %8s\n' "$@"; }
echo
line Python TFX TensorFlow step result passed failed skipped seconds
bad=0
for python in 3.13 3.12 3.11; do
  about=("$python" - -)
  [ ! -s "$logs/$python.versions" ] || IFS=$'\t' read -ra about <"$logs/$python.versions"
  for step in setup run test e2e image; do
    [ -e "$logs/$python-$step.result" ] || continue
    # A tab is white space to `read`, which would drop empty fields.
    IFS=, read -ra row < <(tr '\t' , <"$logs/$python-$step.result")
    line "${about[@]}" "${row[@]}"
    [ "${row[1]}" = ok ] || bad=1
  done
done
echo
say "logs in $logs"
exit "$bad"
