quantisation=$0 model=$1 options=()
for word in "${@:2}"; do
  options+=("${word%%=*}")
  [[ $word != *=* ]] || options+=("${word#*=}")
done
