shopt -s nullglob globstar nocasematch
files=() named=()
for file in "$model"/**/*.gguf; do
  name=/${file##*/}
  # Projectors of images are no models, and the server finds the other parts of a split one by the first.
  [[ $name == /mmproj* || ( $name =~ -[0-9]+-of-[0-9]+[.]gguf$ && ! $name =~ -0*1-of- ) ]] && continue
  files+=("$file")
  [[ ! $name =~ [^[:alnum:]]"$quantisation"(_MOE)?[-.] ]] || named+=("$file")
done
