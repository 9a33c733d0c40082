@gguf_options.sh
if [[ $model == /* ]]; then
  @gguf_files.sh
  @gguf_only.sh
  source=(--model "${named[0]}")
else
  source=(--hf-repo "$model:$quantisation")
fi
exec /app/llama-server "${source[@]}" "${options[@]}"
