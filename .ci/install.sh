#!/usr/bin/env bash
# Installs packages with uv, in a tenth of pip's time, or with pip where uv does not get them.
# usage: install.sh [ENVIRONMENT REQUIREMENTS...]; without arguments only uv itself, into build/installer
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../build/installer

if [[ ! $root/.ready -nt $here/requirements/installer.txt ]]; then
  "${PYTHON:-python3}" -m venv "$root"
  "$root/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    --requirement "$here/requirements/installer.txt" && touch "$root/.ready"
fi
(($#)) || exit 0
environment=$1
shift
"$root/bin/uv" pip install --quiet --python "$environment/bin/python" "$@" ||
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
