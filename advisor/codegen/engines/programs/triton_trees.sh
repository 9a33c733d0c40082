@words.sh
if [[ $folder != /* ]]; then
  folder=$HOME/.cache/trees/$1/$revision
  @hub.sh
  for file in xgboost.ubj xgboost.json model.txt checkpoint.tl; do
    [[ ! -e $folder/$file ]] || break
    curl -fsSL --retry 9 "${token[@]}" -o "$folder/part" "https://huggingface.co/$1/resolve/$revision/$file" || continue
    mv "$folder/part" "$folder/$file"
    break
  done
fi
for file in xgboost.ubj xgboost.json model.txt checkpoint.tl; do
  [[ ! -e $folder/$file ]] || break
done
if [[ ! -e $folder/$file ]]; then
  echo "$1 has none of xgboost.ubj xgboost.json model.txt checkpoint.tl: rename the file of XGBoost, LightGBM or treelite to one of them" >&2
  exit 1
fi
@verified.sh $folder/$file
case $file in
  *.ubj) kind=xgboost_ubj columns=num_feature before='' after='SL\x00{7}.' next='L\x00' ;;
  *.json) kind=xgboost_json columns=num_feature before='"' after='" *: *"' next='"' ;;
  *.tl) kind=treelite_checkpoint ;;
  *) kind=lightgbm columns=max_feature_idx before='^' after='=' next='\r?$' ;;
esac
number() {
  LC_ALL=C grep -aoPm1 "$before$1$after\K[0-9]+(?=$next)" "$folder/$file"
}
unsound() {
  echo "$file is no sound checkpoint of treelite 4 with one target: $1" >&2
  echo "write it again with treelite 4, as the planned one: model.serialize('checkpoint.tl')" >&2
  exit 1
}
# A signed number of a checkpoint, little-endian: its variable and name, bytes, place, least and most.
stored() {
  read -r value < <(od -An -v --endian=little "-td$3" "-j$4" "-N$3" "$folder/$file" 2>/dev/null) || value=
  # od fills up with zeros what the file is short of.
  (( size >= $3 + $4 )) || value=
  [[ $value =~ ^-?[0-9]+$ ]] && (( value >= $5 && value <= $6 )) || unsound "$2 ${value:-missing}, not $5 to $6"
  printf -v "$1" %s "$value"
}
if [[ $kind = treelite_checkpoint ]]; then
  size=$(stat -Lc %s "$folder/$file")
  stored major "version" 4 0 4 4
  stored thresholds "type of thresholds" 1 12 2 3
  stored leaves "type of leaves" 1 13 2 3
  stored trees "number of trees" 8 14 1 1000000
  stored columns "number of columns" 4 22 1 1000000
  stored targets "number of targets" 4 28 1 1
  stored listed "list of classes with a length of" 8 32 1 1
  stored classes "number of classes" 4 40 1 1000000
  # In an image without Python, Triton itself finds out, in words of its own.
  ! command -v python3 >/dev/null || cut=$(python3 -c 'import mmap, struct, sys
with open(sys.argv[1], "rb") as file:
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
at = 32
def skip(count):
    global at
    at += count
    if at > len(data):
        print(f"{len(data)} bytes, not the {at} or more that it announces")
        sys.exit()
def number(form="<Q"):
    skip(struct.calcsize(form))
    return struct.unpack_from(form, data, at - struct.calcsize(form))[0]
def lists(*sizes):
    for size in sizes:
        skip(number() * size)
def optional():
    for _ in range(number("<i")):
        lists(1)
        skip(number() * number())
threshold, leaf = (4 if kind == 2 else 8 for kind in data[12:14])
lists(4, 4, 4, 4, 1)
skip(8)
lists(8, 1)
optional()
for _ in range(struct.unpack_from("<Q", data, 14)[0]):
    skip(5)
    lists(1, 4, 4, 4, 1, leaf, threshold, 1, 1, leaf, 8, 8, 4, 8, 8, 8, 1, 8, 1, 8, 1)
    optional()
    optional()
' "$folder/$file")
  [[ -z ${cut:-} ]] || unsound "$cut"
else
  read -r columns < <(number "$columns") || columns=
  read -r classes < <(number num_class) || classes=1
fi
columns=${columns:?no trees with a number of columns in $folder} several=false
[[ $kind != lightgbm ]] || columns=$((columns + 1))
[[ ${classes:-1} -le 1 ]] || several=true
[[ $several = true ]] || classes=1
mkdir -p "$work/models/$0"
ln -sfn "$folder" "$work/models/$0/1"
{
  printf '%s default_model_filename: "%s"' "$MODEL_CONFIGURATION" "$file"
  printf ' input [ { name: "input__0" data_type: TYPE_FP32 dims: [ %s ] } ]' "$columns"
  printf ' output [ { name: "output__0" data_type: TYPE_FP32 dims: [ %s ] } ]' "$classes"
  printf ' parameters { key: "%s" value: { string_value: "%s" } }' \
    model_type $kind is_classifier $several predict_proba $several threshold 0.5
} >"$work/models/$0/config.pbtxt"
exec tritonserver --model-repository="$work/models" "${options[@]}"
