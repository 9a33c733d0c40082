@gguf_options.sh
folder=$HOME/.cache/gguf/$model remote=()
if [[ $model == /* ]]; then
  @gguf_files.sh
  published=("$model"/*.safetensors "$model"/pytorch_model*.bin)
  # GGUF files are served as they are, but for others beside published weights.
  if (( ${#named[@]} == 1 || ( ${#files[@]} > 0 && ${#published[@]} == 0 ) )); then
    @gguf_only.sh
    exec /app/llama-server --model "${named[0]}" "${options[@]}"
  fi
  source=$(find -L "$model" -type f -exec stat -Lc '%n %s %Y' {} + | sort)
else
  # A repository of GGUF files that was named in place of the published weights is served as it is.
  [[ ${model,,} != *gguf* ]] || exec /app/llama-server --hf-repo "$model:$quantisation" "${options[@]}"
  remote=(--remote)
  token=(${HF_TOKEN:+--oauth2-bearer "$HF_TOKEN"})
  # Where the hub does not answer, the file made before is served.
  source=$(curl -fsSI --max-time 30 "${token[@]}" "https://huggingface.co/$model/resolve/main/config.json" | grep -i ^x-repo-commit:) || source=
fi
file=$folder/model-$quantisation.gguf part=$folder/part.gguf wide=$folder/wide.gguf
if [[ ! -e $file || ( -n $source && $(cat "$folder/source" 2>/dev/null) != "$source" ) ]]; then
  mkdir -p "$folder"
  # The disk has room for one.
  rm -f "$folder"/*.gguf
  case $quantisation in
    Q4_K_M)
      python3 /app/convert_hf_to_gguf.py "${remote[@]}" --outtype auto --outfile "$wide" "$model"
      /app/llama-quantize "$wide" "$part" "$quantisation"
      rm "$wide"
      ;;
    *) python3 /app/convert_hf_to_gguf.py "${remote[@]}" --outtype "${quantisation,,}" --outfile "$part" "$model" ;;
  esac
  echo "$source" >"$folder/source"
  mv "$part" "$file"
fi
exec /app/llama-server --model "$file" "${options[@]}"
