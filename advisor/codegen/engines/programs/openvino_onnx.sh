@find_onnx.sh
mkdir -p "$work/models/$0/1"
for file in "$folder"/*; do
  # Of several exports in the folder the server would take any.
  [[ $file == *.onnx && $file != */model.onnx ]] || ln -sfn "$file" "$work/models/$0/1/"
done
exec /ovms/bin/ovms "--model_name=$0" "--model_path=$work/models/$0" "${options[@]}"
