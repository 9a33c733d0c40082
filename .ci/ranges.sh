#!/usr/bin/env bash
# The ranges of dependencies in pyproject.toml, tried at both ends: installs the lowest and the newest versions that they
# allow, each into an environment of its own, and uses the program there. $1 is uv, $2 the folder of the environments.
set -euo pipefail
uv=$1 place=$2
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$place"
place=$(cd "$place" && pwd)

smoke() {
  local advisor=$1/bin/advisor work=$1/work
  rm -rf "$work" && mkdir -p "$work" && cd "$work"
  export XDG_CACHE_HOME=$work/cache
  printf '%s\n' 'timestamp,input_tokens,output_tokens' > trace.csv
  for at in $(seq 1 400); do printf '2026-10-01T%02d:%02d:00Z,%d,%d\n' $((at / 60)) $((at % 60)) $((at * 7 % 900 + 1)) $((at * 3 % 200 + 1)); done >> trace.csv
  printf '%s\n' 'BilledCost,EffectiveCost,BillingCurrency,ChargeCategory,ChargeDescription,ChargePeriodStart,ChargePeriodEnd,ProviderName,ResourceId,ServiceCategory,ServiceName,Tags' \
    '1.5,1.5,USD,Usage,USE1-BoxUsage:g5.xlarge,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,AWS,i-1,Compute,Amazon Elastic Compute Cloud,{}' > bill.csv
  "$advisor" recommend "$root/examples/chat/workload.yaml" --format json -o plan.json
  "$advisor" generate terraform plan.json --out infra > generated.txt
  "$advisor" predict --model meta-llama/Llama-3.1-8B-Instruct --accelerator L4 --concurrency 4 --input-tokens 500 --output-tokens 100 > predicted.txt
  "$advisor" fit --model meta-llama/Llama-3.1-8B-Instruct --accelerator L4 > fitted.txt || [ $? -eq 2 ]
  "$advisor" demand summarise trace.csv -o demand.json
  "$advisor" report plan.json -o page.html
  "$advisor" samples summary "$root/examples/gpu-samples/samples" > samples.txt
  "$advisor" recommend "$root/examples/gpu-samples/workload.yaml" > samples-plan.txt
  "$advisor" audit bill.csv > audit.txt
  "$advisor" catalog list --accelerator L4 > list.txt
  served plan.json
  test -s infra/main.tf && test -s page.html && grep -q 1.50 audit.txt
}

served() {
  "$advisor" serve "$1" --port 0 > served.txt 2> serve.log &
  local server=$! address=
  for _ in $(seq 1 300); do
    address=$(sed -n 's/^serving on \(http[^;]*\);.*/\1/p' served.txt)
    [[ -n $address ]] && break
    sleep 0.1
  done
  curl -fsS "$address" > live.html || { kill "$server"; cat serve.log; return 1; }
  kill "$server"
  grep -q 'id="controls"' live.html
}

for end in ${ENDS:-lowest-direct highest}; do
  "$uv" venv --quiet --clear --python "${PYTHON:-python3.11}" "$place/$end"
  "$uv" pip install --quiet --python "$place/$end/bin/python" --resolution "$end" "$root[audit,calibration,charts,aws,gpuhunt,serve]"
  (smoke "$place/$end") || { echo "$end: failed; see $place/$end/work"; exit 1; }
  echo "$end: $("$uv" pip freeze --python "$place/$end/bin/python" | grep -ciE '==') packages, all commands done"
  "$uv" pip freeze --python "$place/$end/bin/python" > "$place/$end.txt"
done
