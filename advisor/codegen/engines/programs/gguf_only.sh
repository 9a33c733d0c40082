# A file alone may have any name but that of another quantisation.
if (( ${#named[@]} == 0 && ${#files[@]} == 1 )); then
  [[ ${files[0]##*/} =~ [-._](I?Q[1-9]_|B?F16|F32|TQ|(MX|NV)FP4) ]] || named=("${files[0]}")
fi
if (( ${#named[@]} != 1 )); then
  echo "$model holds ${#named[@]} GGUF models in $quantisation, of ${#files[@]} in all" >&2
  echo "leave one there with its quantisation in its name, as in model-$quantisation.gguf" >&2
  exit 1
fi
@verified.sh ${named[0]}
