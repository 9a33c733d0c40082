if [[ -n ${MODEL_SHA256:-} ]] && ! sha256sum --check --status <<<"$MODEL_SHA256  @path@"; then
  echo "@path@ is not the planned file: its sha256 is not $MODEL_SHA256" >&2
  exit 1
fi
