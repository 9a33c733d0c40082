options=() revision=main work=${TMPDIR:-/tmp} folder=$1
for word in "${@:2}"; do
  case $word in
    --revision=*) revision=${word#*=} ;;
    *) options+=("$word") ;;
  esac
done
