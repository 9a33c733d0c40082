if [[ $1 == /* ]]; then
  source=("--model_path=$1")
else
  source=("--source_model=$1" "--model_repository_path=$HOME/.cache/models" --task=image_generation)
fi
exec /ovms/bin/ovms "--model_name=$0" "${source[@]}" "${@:2}"
