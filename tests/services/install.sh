#!/usr/bin/env bash
# Installs the servers that samples are tested against, as root: Debian's Prometheus, VictoriaMetrics, systemd and
# openssl.
# What cannot be installed here is named, and the tests that need it are skipped.
#
#   bash tests/services/install.sh
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

missing=()

# debian PACKAGE PROGRAM: the package, unless its program is there; servers are not started (RUNLEVEL=1), or stopped
debian() {
  command -v "$2" >/dev/null && return 0
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
  [[ -n ${updated:-} ]] || apt-get update -qq >/dev/null 2>&1 && updated=yes
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 || return 1
  systemctl disable --now "$1" >/dev/null 2>&1
  command -v "$2" >/dev/null
}

debian prometheus prometheus || missing+=("Prometheus")
debian victoria-metrics victoria-metrics || missing+=("VictoriaMetrics")
debian systemd systemd-analyze || missing+=("systemd-analyze")
debian openssl openssl || missing+=("openssl")

for one in "${missing[@]}"; do
  echo "not installed: $one; the tests that need it are skipped" >&2
done
echo "test services: $SECONDS s"
