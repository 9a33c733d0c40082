#!/usr/bin/env bash
# Chromium (a Debian package, as root) and what drives it, in an environment of its own: .verify/browser.
# It takes about a minute and 300 MB, so it is no part of CI: `make browser-test`.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

command -v chromium > /dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; }
[[ -x $root/.verify/browser/bin/python ]] || python3 -m venv "$root/.verify/browser"
"$root/.verify/browser/bin/python" -m pip install --quiet --disable-pip-version-check \
  --editable "$root[test]" 'playwright>=1.50' 'axe-playwright-python>=0.1.4'
