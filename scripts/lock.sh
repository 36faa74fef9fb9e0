#!/usr/bin/env bash
# Resolves requirements/*.in into the locks and proves the lock of this machine's environment by importing what
# conflicting protobuf generations break. Keeps the locked versions that still fit; `--upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

# No header, index or find-links lines: a lock names no machine. A private folder of wheels must not decide either.
unset PIP_FIND_LINKS UV_FIND_LINKS VIRTUAL_ENV
compile() {
  .venv/bin/uv pip compile -q --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
    --python .venv/bin/python "$@"
}
# The lock of a generation ($1), and what an environment with a GPU has beside it, in a lock of its own: all else there
# is the first lock's, version for version.
lock() {
  local cpu=requirements/$1.txt gpu=requirements/$1-gpu.txt
  shift
  compile "${cpu%.txt}.in" -o "$cpu" "$@"
  if [ -e "$gpu" ]; then cp "$gpu" "$gpu.part"; fi # what is locked there is kept where it still fits
  compile "${gpu%.txt}.in" -o "$gpu.part" "$@"
  awk '{split($1, name, "=")} FNR == NR {if (/^[a-z]/) held[name[1]]; next} /^[a-z]/ {inside = !(name[1] in held)} inside' \
    "$cpu" "$gpu.part" >"$gpu.new"
  mv "$gpu.new" "$gpu"
  rm "$gpu.part"
}
lock tfx116 --python-version 3.10 --python-platform x86_64-manylinux_2_28 "$@"
# `--universal` covers all of 3.11 to 3.13; [tool.uv] in pyproject.toml says where it ends.
lock tfx121 --python-version 3.11 --universal --override requirements/tfx121.overrides "$@"

scripts/setup_env.sh
# The only conflict that may be there is the one that the overrides make.
overridden=$(sed -n 's/^\([a-z][a-z0-9-]*\)==.*/requires `\1[`<>=!~]/p' requirements/tfx121.overrides)
conflicts=$(.venv/bin/uv pip check --python .venv/bin/python 2>&1) || {
  others=$(grep '^The package' <<<"$conflicts" | grep -v "$overridden" || true)
  if [ -n "$others" ] || ! grep -q "$overridden" <<<"$conflicts"; then
    echo "$conflicts" >&2
    exit 1
  fi
}
.venv/bin/python -c 'import tfx.v1, kfp, apache_beam.io.gcp.gcsfilesystem, google.cloud.aiplatform' 2>/dev/null || {
  echo "edgetune: the packages of the new lock cannot be imported together:" >&2
  exec .venv/bin/python -c 'import tfx.v1, kfp, apache_beam.io.gcp.gcsfilesystem, google.cloud.aiplatform'
}
