mkdir -p "$folder"
token=(${HF_TOKEN:+--oauth2-bearer "$HF_TOKEN"})
