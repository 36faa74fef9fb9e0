#!/usr/bin/env bash
# Prints the interpreter that the environment is to be built with and the lock that fits it:
#
#     /usr/bin/python3.13 tfx121
#
# Where glibc is 2.39 or newer (the wheels of TFX 1.21 need it), in this order: Python 3.13, 3.12 or 3.11 that is there;
# 3.13 through uv; Python 3.10 with TFX 1.16 that is there. Elsewhere Python 3.10, there or through uv.
# "There" is on PATH, under pyenv, or already with uv. EDGETUNE_PYTHON names one and skips the search.
#
# An interpreter is taken only if an environment can be built with it: it must have its venv module, and, where the lock
# has something to compile, its headers, and the machine a C++ compiler. All that is missing is said at once, with the
# line that installs it; exit code 1.
set -euo pipefail
locks=$(dirname "$0")/../requirements

fallback_until="31 October 2027" # README.md says the same

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Version, what it lacks, and path of an interpreter, such as `3.13 venv,headers /usr/bin/python3.13`, with `-` where it
# lacks nothing; nothing where it cannot be run (pyenv leaves shims of versions that are not active). Of an environment
# it is the interpreter behind it: .venv itself may be on PATH, and may have to be made anew.
inspect() {
  "$1" - 2>/dev/null <<'PYTHON' || true
import os, sys, sysconfig
version = "%d.%d" % sys.version_info[:2]
behind = os.path.join(sys.base_prefix, "bin", "python" + version)
lacks = []
try:
    import ensurepip, venv  # Debian packs ensurepip apart
except ImportError:
    lacks.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    lacks.append("headers")
path = behind if sys.prefix != sys.base_prefix and os.path.exists(behind) else sys.executable
print(version, ",".join(lacks) or "-", path)
PYTHON
}

lock_for() {
  case $1 in
    3.10) echo tfx116 ;;
    3.11 | 3.12 | 3.13) if at_least 2.39 "$glibc"; then echo tfx121; fi ;;
  esac
}

# Whether a package of the lock $1 has to be compiled. Both generations of TensorFlow Data Validation import farmhash as
# soon as they are imported (feature_skew_detector and feature_partition_util), so pyfarmhash cannot be left out, and
# before 0.5 it has no wheel. tfx121.overrides has the rest.
compiled() { grep -qE '^pyfarmhash==0\.[0-4]\.' "$locks/$1.txt"; }

# All that this machine has of one version, the best first.
candidates() {
  type -aP "python$1" python3 python || true
  local pyenv
  for pyenv in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python; do
    [ ! -x "$pyenv" ] || echo "$pyenv"
  done
  if [ -n "$uv" ]; then "$uv" python find --managed-python --no-python-downloads "$1" 2>/dev/null || true; fi
}

# Sets `python` and `lock`, where $1 is a complete interpreter of version $2 (any, if empty) that a lock fits. Of those
# that fit and are not complete, `incomplete` keeps the one that lacks least: version, what it lacks, path.
take() {
  local version lacks path fits
  read -r version lacks path <<<"$(inspect "$1")"
  fits=$(lock_for "$version")
  if [ -z "$fits" ] || [ "$version" != "${2:-$version}" ]; then return 1; fi
  lacks=$(needed "$fits" "$lacks")
  if [ -z "$lacks" ]; then
    python=$path lock=$fits
    return
  fi
  local least=${incomplete#* }
  least=${least%% *}
  if [ -z "$incomplete" ] || [ ${#lacks} -lt ${#least} ]; then incomplete="$version $lacks $path"; fi
  return 1
}

# What is missing to build the environment of lock $1 with an interpreter that lacks $2.
needed() {
  local parts=()
  if [[ $2 == *python* ]]; then parts+=(python); fi
  if [[ $2 == *venv* ]]; then parts+=(venv); fi
  if compiled "$1"; then
    if [[ $2 == *headers* ]]; then parts+=(headers); fi
    if [ -z "$compiler" ]; then parts+=(compiler); fi
  fi
  (IFS=, && echo "${parts[*]}")
}

search() {
  local version candidate
  for version; do
    while read -r candidate; do
      if take "$candidate" "$version"; then return; fi
    done < <(candidates "$version")
  done
  return 1
}

# Its interpreters are complete, so only a compiler can be missing. Nothing is downloaded before that is there.
from_uv() {
  if [ -z "$uv" ]; then return 1; fi
  local lacks
  lacks=$(needed "$(lock_for "$1")" -)
  if [ -n "$lacks" ]; then incomplete="$1 $lacks -" && return 1; fi
  echo "edgetune: no Python $1 here that an environment can be built with, asking uv for one" >&2
  UV_PYTHON_INSTALL_BIN=0 "$uv" python install "$1" >&2 || return 1
  take "$("$uv" python find --managed-python "$1")" "$1"
}

# The Python that a distribution has, where a lock fits it, or `-`; for machines that have none at all.
packaged() {
  local version=""
  case "$ID ${VERSION_ID:-}" in
    "debian 13" | "fedora "*) version=3.13 ;;
    "ubuntu 24.04") version=3.12 ;;
    "ubuntu 22.04") version=3.10 ;;
  esac
  if [ -n "$(lock_for "$version")" ]; then echo "$version"; else echo -; fi
}

# The command that installs what is missing; nothing where packages of the distribution are no remedy. $1 is the version
# of an interpreter, $2 what it lacks, $3 where it is (`-` for one that is not there yet).
install_line() {
  local part installer packages=() sudo="sudo "
  local -A package
  if [ "$EUID" = 0 ]; then sudo=""; fi
  case " $ID ${ID_LIKE:-} " in
    *" debian "* | *" ubuntu "*)
      installer="apt-get install"
      package=([python]="python$1-venv" [venv]="python$1-venv" [headers]="python$1-dev" [compiler]=g++)
      ;;
    *" fedora "* | *" rhel "*)
      # The system's own packages, python3-libs and python3-devel, provide the names with its version too.
      installer="dnf install"
      package=([python]="python$1" [venv]="python$1-libs" [headers]="python$1-devel" [compiler]=gcc-c++)
      ;;
    *) echo "install it with your system's packages" && return ;;
  esac
  for part in ${2//,/ }; do
    # An interpreter that is not of the distribution is not completed by its packages.
    if [ "$part" = compiler ] || [[ $1 != - && $3 =~ ^(-$|/bin/|/usr/bin/) ]]; then packages+=("${package[$part]}"); fi
  done
  echo "${packages:+$sudo$installer ${packages[*]}}"
}

# One message for all that is missing: $1 to $3 as above.
report() {
  local part missing=() text line also=or
  for part in ${2//,/ }; do
    case $part in
      python) missing+=("$wanted (not on PATH, under pyenv or through uv)") ;;
      venv) missing+=("the venv module of $3") ;;
      headers) if [ "$3" != - ]; then missing+=("the headers of $3"); fi ;;
      compiler) missing+=("a C++ compiler (pyfarmhash, which TFX needs, has no wheel)") ;;
    esac
  done
  printf -v text '%s; ' "${missing[@]}"
  echo "edgetune: to build the environment, this is missing: ${text%; }"

  line=$(install_line "$@")
  if [ -n "$line" ]; then echo "  remedy: $line"; fi
  if [ "$2" = compiler ]; then return; fi
  case $line in
    *python* | *system*) ;;
    *) also=and ;;
  esac
  text="name an interpreter that is elsewhere: EDGETUNE_PYTHON=/path/to/python"
  if [ -z "$uv" ]; then
    text="install uv (https://docs.astral.sh/uv/), which brings Python ${versions[0]} with its venv module and headers"
    if [[ $2 == *compiler && $also = or ]]; then text+=", and a C++ compiler alone"; fi
    text+=" (or \`pyenv install ${versions[0]}\`)"
  fi
  if [ -n "$line" ]; then echo "      $also: $text"; else echo "  remedy: $text"; fi
}

system="$(uname -s) $(uname -m)"
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{print $2}' || true)
if [ "$system" != "Linux x86_64" ] || ! at_least 2.28 "${glibc:-0}"; then
  echo "edgetune: TFX has packages for Linux on x86_64 with glibc 2.28 or newer only, and this is $system with" \
    "glibc ${glibc:-missing}. docs/install.md has a command that runs it in a container." >&2
  exit 1
fi

ID="" ID_LIKE="" VERSION_ID=""
os_release=${EDGETUNE_OS_RELEASE:-/etc/os-release} # another one in tests
# A program of its own: the file is shell, and chooses no more than what a message recommends.
# shellcheck disable=SC2016
if [ -r "$os_release" ]; then
  { read -r ID && read -r ID_LIKE && read -r VERSION_ID; } < <(
    bash -c '. "$1" >/dev/null; printf "%s\n" "$ID" "$ID_LIKE" "$VERSION_ID"' _ "$os_release" 2>/dev/null
  ) || true
fi

python="" lock="" incomplete=""
compiler=$(type -P g++ || true)
uv=$(type -P uv || true)
if [ -n "$uv" ] && ! "$uv" --version >/dev/null 2>&1; then uv=""; fi

versions=(3.10) wanted="Python 3.10"
if at_least 2.39 "$glibc"; then versions=(3.13 3.12 3.11) wanted="Python 3.13, 3.12 or 3.11"; fi
if [ -n "${EDGETUNE_PYTHON:-}" ]; then
  if ! take "$EDGETUNE_PYTHON" "" && [ -z "$incomplete" ]; then
    echo "edgetune: EDGETUNE_PYTHON=$EDGETUNE_PYTHON cannot be used: it must be Python 3.13, 3.12 or 3.11 on" \
      "glibc 2.39 or newer, or Python 3.10 (this is glibc $glibc)." >&2
    exit 1
  fi
else
  search "${versions[@]}" || from_uv "${versions[0]}" || search 3.10 || true
fi

if [ -z "$python" ]; then
  if [ -z "$incomplete" ]; then
    version=$(packaged)
    incomplete="$version $(needed "$(lock_for "${version/-/${versions[0]}}")" python,headers) -"
  fi
  read -r version lacks path <<<"$incomplete"
  report "$version" "$lacks" "$path" >&2
  exit 1
fi
if [ "$lock" = tfx116 ] && [ "${versions[0]}" != 3.10 ]; then
  line=""
  if [ -n "$incomplete" ]; then
    read -r version lacks path <<<"$incomplete"
    line=$(install_line "$version" "$lacks" "$path")
  fi
  echo "edgetune: Python 3.10 gets TFX 1.16, a fallback until $fallback_until. TFX 1.21 needs $wanted" \
    "${line:+($line) }and a new .venv: remove .venv and run this again." >&2
fi
echo "$python $lock"
