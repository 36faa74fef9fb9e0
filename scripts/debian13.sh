#!/usr/bin/env bash
# Runs a command in Debian 13 (glibc 2.41, Python 3.13) with all that the tests can use: browser, Java, PostgreSQL.
#
#     debian13.sh WORK COMMAND...     starts in /project, which is WORK/project; /tmp is WORK/tmp; both are made
#
# Where Docker or Podman answers, it is a container; else a root made by debootstrap, which takes the rights of root.
# The first call makes either (some minutes, 2 GB). The root, and a home with the caches of uv, npm and Maven, stay in
# debian13/ below $EDGETUNE_CACHE (~/.cache/edgetune). How this machine reaches the network (resolver, certificates,
# proxies, settings of pip, uv, npm and Maven) and its pyenv holds in there too: mounted to be read, never copied.
set -euo pipefail

fail() { echo "edgetune: $*" >&2; exit 1; }
[ $# -ge 2 ] || fail "debian13.sh needs a folder and a command: debian13.sh WORK COMMAND..."
mkdir -p "$1/project" "$1/tmp"
chmod 1777 "$1/tmp" # PostgreSQL runs as a user of its own
work=$(cd "$1" && pwd -P)
shift

packages=(
  ca-certificates git make g++ python3 python3-dev python3-venv # as anyone needs them
  chromium nodejs npm                                           # the page of `edgetune demo`
  default-jdk-headless maven                                    # Flink
  postgresql                                                    # ML Metadata
  libegl1 libgl1 libgles2                                       # MediaPipe
)
cache=${EDGETUNE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgetune}/debian13
root=$cache/root
mkdir -p "$cache/home"
chmod 700 "$cache"

# from:to:how, for both kinds.
mounts=("$work/project:/project:rw" "$work/tmp:/tmp:rw" "$cache/home:$HOME:rw")
network=()
for file in /etc/resolv.conf /etc/hosts; do
  [ ! -f "$file" ] || network+=("$(readlink -f "$file"):$file:ro")
done
for file in /etc/pip.conf /etc/uv/uv.toml /etc/ssl/certs/java/cacerts \
  "$HOME"/{.config/pip/pip.conf,.pip/pip.conf,.config/uv/uv.toml,.npmrc,.m2/settings.xml}; do
  [ ! -f "$file" ] || mounts+=("$(readlink -f "$file"):$file:ro")
done
bundle=/etc/ssl/certs/ca-certificates.crt
for file in "${SSL_CERT_FILE:-}" "$bundle" /etc/pki/tls/certs/ca-bundle.crt; do
  if [ -f "$file" ]; then
    mounts+=("$(readlink -f "$file"):$bundle:ro")
    break
  fi
done
pyenv=${PYENV_ROOT:-$HOME/.pyenv}
[ ! -d "$pyenv/versions" ] || mounts+=("$(readlink -f "$pyenv"):$pyenv:ro")

variables=(
  "HOME=$HOME" "PYENV_ROOT=$pyenv" LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  "SSL_CERT_FILE=$bundle" "REQUESTS_CA_BUNDLE=$bundle" "PIP_CERT=$bundle" "NODE_EXTRA_CA_CERTS=$bundle"
  # The clone may be another user's.
  GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory "GIT_CONFIG_VALUE_0=*"
)
for name in {http,https,ftp,no,all}_proxy {HTTP,HTTPS,FTP,NO,ALL}_PROXY PIP_{INDEX_URL,EXTRA_INDEX_URL,TRUSTED_HOST} \
  PIP_DEFAULT_TIMEOUT ${!UV_INDEX@} UV_{DEFAULT_INDEX,EXTRA_INDEX_URL,HTTP_TIMEOUT,PYTHON_INSTALL_MIRROR} \
  NPM_CONFIG_REGISTRY npm_config_registry MAVEN_OPTS EDGETUNE_PYTHON ARGS; do
  [ -z "${!name:-}" ] || variables+=("$name=${!name}")
done

# --- a container

install="apt-get update -q && apt-get install -y -q --no-install-recommends ${packages[*]} && apt-get clean"
for engine in docker podman; do
  if "$engine" info >/dev/null 2>&1; then
    image=edgetune-debian13:$(cksum <<<"${packages[*]}" | cut -d ' ' -f 1)
    "$engine" image inspect "$image" >/dev/null 2>&1 ||
      printf 'FROM docker.io/library/debian:trixie-slim\nENV DEBIAN_FRONTEND=noninteractive\nRUN %s\n' "$install" |
      "$engine" build --network host -t "$image" - >&2
    exec "$engine" run --rm --init --network host --shm-size 1g --security-opt label=disable --workdir /project \
      "${mounts[@]/#/--volume=}" "$image" env -i "${variables[@]}" "$@"
  fi
done

# --- a root

inside() { # NAME=VALUE... COMMAND... in the root, with `mounts`, which nobody else sees and which end with it
  unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    root=$1 count=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount -o bind,ro /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    for mount in "${@:1:count}"; do
      IFS=: read -r from to how <<<"$mount"
      mkdir -p "$(dirname "$root$to")"
      if [ -d "$from" ]; then mkdir -p "$root$to"; else [ -e "$root$to" ] || touch "$root$to"; fi
      mount -o "bind,$how" "$from" "$root$to"
    done
    shift "$count"
    # This shell stays, as the first process, for that one has to collect the orphans: or they would be zombies.
    code=0
    chroot "$root" env -i "$@" || code=$?
    exit "$code"
  ' _ "$root" ${#mounts[@]} "${mounts[@]}" "$@"
}

[ "$(id -u)" = 0 ] || fail "neither Docker nor Podman answers, and a Debian 13 without them takes root: use sudo."
if [ "$(cat "$root/.edgetune" 2>/dev/null)" != "${packages[*]}" ]; then
  log=$cache/root.log
  echo "edgetune: making a Debian 13 in $root, some minutes (log: $log)" >&2
  if [ ! -e "$root/.edgetune" ]; then
    command -v debootstrap >/dev/null ||
      fail "debootstrap makes a Debian 13 where there is no container engine: apt-get install debootstrap."
    # The mirror that this machine uses itself, where it is a Debian.
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?$' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
      head -n 1 || true)
    rm -rf --one-file-system "$root" "$root.part"
    debootstrap --variant=minbase --include=ca-certificates trixie "$root.part" ${mirror:+"$mirror"} >"$log" 2>&1 ||
      fail "debootstrap failed: $(tail -n 1 "$log")"
    # Services of the packages are not to start.
    printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d"
    chmod 755 "$root.part/usr/sbin/policy-rc.d"
    touch "$root.part/.edgetune"
    mv "$root.part" "$root"
  fi
  # The packages write the certificates anew, so the machine's own are not mounted yet.
  (
    mounts=(${network[@]+"${network[@]}"})
    inside "${variables[@]}" HOME=/ DEBIAN_FRONTEND=noninteractive sh -c "$install"
  ) >>"$log" 2>&1 || fail "the packages could not be installed: $(tail -n 1 "$log")"
  echo "${packages[*]}" >"$root/.edgetune"
fi
mounts+=(${network[@]+"${network[@]}"})
inside "${variables[@]}" env --chdir=/project "$@"
