@words.sh
if [[ $folder != /* ]]; then
  folder=$HOME/.cache/onnx/$1/$revision
  @hub.sh
  if [[ ! -e $folder/model.onnx ]]; then
    curl -fsSL --retry 9 "${token[@]}" -o "$folder/part" "https://huggingface.co/$1/resolve/$revision/onnx/model.onnx"
    mv "$folder/part" "$folder/model.onnx"
  fi
fi
[[ -e $folder/model.onnx ]] || folder=$folder/onnx
@verified.sh $folder/model.onnx
