if [[ $0 == /* ]]; then
  mkdir -p /opt/ml
  ln -sfn "$0" /opt/ml/model
else
  export HF_MODEL_ID=$0
fi
for word in "$@"; do
  case $word in
    --revision=*) export HF_MODEL_REVISION=${word#*=} ;;
    --port=*) export SAGEMAKER_BIND_TO_PORT=${word#*=} ;;
  esac
done
exec python /usr/local/bin/dockerd-entrypoint.py serve
