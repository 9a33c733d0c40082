@find_onnx.sh
mkdir -p "$work/models/$0" "$HOME/.cache/engines"
ln -sfn "$HOME/.cache/engines" "$work/engines"
ln -sfn "$folder" "$work/models/$0/1"
printf %s "$MODEL_CONFIGURATION" >"$work/models/$0/config.pbtxt"
exec tritonserver --model-repository="$work/models" "${options[@]}"
