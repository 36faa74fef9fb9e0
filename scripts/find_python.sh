#!/usr/bin/env bash
# Prints the interpreter that the environment is to be built with and the lock that fits it:
#
#     /path/to/python3.10 tfx116
#
# Python 3.10 with TFX 1.16 first; else Python 3.13, 3.12 or 3.11 with TFX 1.21, whose wheels need glibc 2.39.
# Looks on PATH, under pyenv, and at what uv knows or can download. EDGETUNE_PYTHON names one and skips the search.
# Where none fits, says in one sentence which Python is needed, and exits with 1.
set -euo pipefail

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Version and path of an interpreter, such as `3.10 /usr/bin/python3.10`; nothing where it cannot be run (pyenv leaves
# shims of versions that are not active) or cannot make an environment (Debian packs `venv` apart). Of an environment
# it is the interpreter behind it: .venv itself may be on PATH, and may have to be made anew.
inspect() {
  "$1" - 2>/dev/null <<'PYTHON' || true
import ensurepip, os, sys, venv
version = "%d.%d" % sys.version_info[:2]
behind = os.path.join(sys.base_prefix, "bin", "python" + version)
print(version, behind if sys.prefix != sys.base_prefix and os.path.exists(behind) else sys.executable)
PYTHON
}

lock_for() {
  case $1 in
    3.10) if at_least 2.28 "$glibc"; then echo tfx116; fi ;;
    3.11 | 3.12 | 3.13) if at_least 2.39 "$glibc"; then echo tfx121; fi ;;
  esac
}

# All that this machine has of one version, the best first.
candidates() {
  type -aP "python$1" python3 python || true
  local pyenv
  for pyenv in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python; do
    [ ! -x "$pyenv" ] || echo "$pyenv"
  done
  if [ -n "$uv" ]; then "$uv" python find --managed-python --no-python-downloads "$1" 2>/dev/null || true; fi
}

# Prints the answer and ends, where $1 is an interpreter of version $2 (any, if empty) that a lock fits.
answer() {
  local found version lock
  found=$(inspect "$1")
  version=${found%% *}
  lock=$(lock_for "$version")
  if [ -n "$lock" ] && [ "$version" = "${2:-$version}" ]; then
    echo "${found#* } $lock"
    exit 0
  fi
}

system="$(uname -s) $(uname -m)"
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{print $2}' || true)
if [ "$system" != "Linux x86_64" ] || [ -z "$glibc" ]; then
  echo "edgetune: TFX has packages for Linux with glibc on x86_64 only, and this is $system${glibc:+ with glibc}." >&2
  exit 1
fi

if [ -n "${EDGETUNE_PYTHON:-}" ]; then
  answer "$EDGETUNE_PYTHON" ""
  echo "edgetune: EDGETUNE_PYTHON=$EDGETUNE_PYTHON cannot be used: it must be Python 3.10 with its venv module," \
    "or 3.11 to 3.13 on glibc 2.39 or newer (this is glibc $glibc)." >&2
  exit 1
fi

uv=$(type -P uv || true)
if [ -n "$uv" ] && ! "$uv" --version >/dev/null 2>&1; then uv=""; fi

versions=(3.10)
if at_least 2.39 "$glibc"; then versions+=(3.13 3.12 3.11); fi
for version in "${versions[@]}"; do
  while read -r python; do
    answer "$python" "$version"
  done < <(candidates "$version")
done

if [ -n "$uv" ]; then
  echo "edgetune: no Python 3.10 on this machine, asking uv for one" >&2
  if "$uv" python install -q 3.10 >&2; then answer "$("$uv" python find --managed-python 3.10)" 3.10; fi
fi

newer=""
if at_least 2.39 "$glibc"; then newer=" (or 3.11 to 3.13)"; fi
echo "edgetune: Python 3.10$newer with its venv module is needed and was not found on PATH, under pyenv or through uv:" \
  "get it with \`uv python install 3.10\`, \`pyenv install 3.10\` or your system's packages, or name one with" \
  "EDGETUNE_PYTHON=/path/to/python." >&2
exit 1
