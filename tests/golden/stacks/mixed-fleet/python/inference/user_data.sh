#!/bin/bash
# Starts one inference host: the serving container first, then what watches it. No digest or version of the plan stands
# here: a change of this text replaces every host.
set -euo pipefail

export AWS_DEFAULT_REGION='${region}'
install -d -m 0700 /etc/inference
cat >/etc/inference/host <<'SCRIPT'
# shellcheck shell=bash
# What a host knows of itself, for the scripts that watch it.
metadata() {
  local metadata=http://169.254.169.254/latest token
  token=$(curl -fsS --max-time 10 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$metadata/api/token")
  curl -fsS --max-time 10 -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/$1"
}
group() { # fails while the tags of a new host are not told yet
  local name
  name=$(aws ec2 describe-tags --region '${region}' --query 'Tags[0].Value' --output text \
    --filters "Name=resource-id,Values=$(metadata instance-id)" Name=key,Values=aws:autoscaling:groupName) &&
    [[ $name != None ]] && echo "$name"
}
SCRIPT
# shellcheck source=/dev/null
. /etc/inference/host

# Ubuntu without drivers, on hosts without GPUs, may have neither yet. A lock of the first boot is waited for.
gpu='${gpu}'
if [[ $gpu == false ]] && ! command -v docker >/dev/null && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -o DPkg::Lock::Timeout=300 update --quiet
  apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet docker.io
fi
if [[ $gpu == false ]] && ! command -v aws >/dev/null && command -v snap >/dev/null; then
  snap install aws-cli --classic
  ln -sf /snap/bin/aws /usr/local/bin/aws
fi

if ! command -v docker >/dev/null; then
  echo 'docker is missing: choose a machine image that has it' >&2
  exit 1
fi

# The load balancer encrypts the way to the host and does not verify the certificate.
install -d -m 0700 /var/cache/inference
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=inference \
  -keyout /etc/inference/key.pem -out /etc/inference/certificate.pem 2>/dev/null

# The token and the passwords of registries are read at each start of the engine and live in memory only.
cat >/usr/local/sbin/inference-token <<'SCRIPT'
#!/bin/bash
set -euo pipefail
umask 077
export DOCKER_CONFIG=/run/inference/docker
install -d -m 0700 /run/inference "$DOCKER_CONFIG"
environment=$(mktemp --tmpdir=/run/inference)
value_of() {
  aws secretsmanager get-secret-value --region "$(cut -d: -f4 <<<"$1")" --secret-id "$1" --query SecretString --output text
}
hub_secret='${hf_token_secret_arn}' registry_secret='${registry_secret_arn}' image='${image}'
registry=$${image%%/*}
if [[ -n $hub_secret ]]; then
  token=$(value_of "$hub_secret")
  printf 'HF_TOKEN=%s\n' "$token" >"$environment"
fi
if [[ $registry == *.dkr.ecr.* ]]; then
  aws ecr get-login-password --region "$(cut -d. -f4 <<<"$registry")" |
    docker login --username AWS --password-stdin "$registry"
elif [[ -n $registry_secret && $registry == nvcr.io ]]; then
  # shellcheck disable=SC2016
  value_of "$registry_secret" | docker login --username '$oauthtoken' --password-stdin "$registry"
fi
mv "$environment" /run/inference/environment
SCRIPT

# Downloads lie on the machine's own disks where it has any, which are empty after each stop: one file system over all.
cat >/usr/local/sbin/inference-disk <<'SCRIPT'
#!/bin/bash
set -euo pipefail
cache=/var/cache/inference
if mountpoint --quiet "$cache"; then
  exit
fi
# Deep Learning AMIs have made it already.
systemctl start dlami-nvme.service 2>/dev/null || true
if mountpoint --quiet /opt/dlami/nvme; then
  install -d -m 0700 /opt/dlami/nvme/inference
  exec mount --bind /opt/dlami/nvme/inference "$cache"
fi
mapfile -t disks < <(lsblk --noheadings --nodeps --paths --output NAME,MODEL | awk '/Instance Storage/ { print $1 }')
set -- "$${disks[@]}"
if (($# == 0)); then
  exit
fi
if [[ ! -e /dev/disk/by-label/inference ]]; then
  disk=$1
  if (($# > 1)); then
    disk=/dev/md/inference
    mdadm --create "$disk" --run --level=0 "--raid-devices=$#" "$@"
  fi
  mkfs.ext4 -q -F -m 0 -L inference "$disk"
  udevadm settle
fi
mount /dev/disk/by-label/inference "$cache"
SCRIPT

# Weights of a bucket are copied before the container starts; a copy that was broken off goes on where it stopped.
cat >/usr/local/sbin/inference-weights <<'SCRIPT'
#!/bin/bash
set -euo pipefail
source='${model_source}' model='${model}'
folder=/var/cache/inference/models/$model
if [[ $source == s3://* ]]; then
  install -d "$folder"
  # The other client does not follow a bucket into its region.
  printf '[default]\ns3 =\n  preferred_transfer_client = classic\n  max_concurrent_requests = 64\n' >/run/inference/aws
  export AWS_CONFIG_FILE=/run/inference/aws AWS_DEFAULT_REGION='${region}'
  if ! aws s3 sync --only-show-errors "$source/$model" "$folder" || [[ ! $(ls -A "$folder") ]]; then
    echo "No weights from $source/$model: copy the model there, or give another model_source" >&2
    exit 1
  fi
fi
SCRIPT

command=(
  docker run --rm --name=inference
  --network=host --ipc=host
  --log-driver=awslogs '--log-opt=awslogs-region=${region}' '--log-opt=awslogs-group=${log_group}'
  # Lines are lost rather than the engine held up while the log service does not answer.
  --log-opt=mode=non-blocking --log-opt=max-buffer-size=16m
  "--log-opt=awslogs-stream=$(metadata instance-id)"
  --env-file=/run/inference/environment
  --volume=/etc/inference:/etc/inference:ro
  --volume=/var/cache/inference:/root/.cache
)
# A folder of the host; what the host has not is in the image.
model_source='${model_source}'
if [[ $model_source == /* && -d $model_source ]]; then
  command+=("--volume=$model_source:$model_source:ro")
fi
command+=(
  ${words}
)
{
  echo '#!/bin/bash'
  echo "exec $${command[*]@Q}"
} >/usr/local/sbin/inference-serve
chmod 0755 /usr/local/sbin/inference-{disk,serve,token,weights}

cat >/etc/systemd/system/inference.service <<'UNIT'
[Unit]
Description=Model serving container
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
StartLimitIntervalSec=0

[Service]
Environment=DOCKER_CONFIG=/run/inference/docker
# An engine that starts again needs no service that may not answer: weights are copied once after a boot, and tokens of before
# do where no new ones are to be had.
ExecStartPre=/bin/sh -c '/usr/local/sbin/inference-token || test -e /run/inference/prepared'
ExecStartPre=/usr/local/sbin/inference-disk
ExecStartPre=/bin/sh -c 'test -e /run/inference/prepared || /usr/local/sbin/inference-weights'
ExecStartPre=/bin/touch /run/inference/prepared
ExecStartPre=-/usr/bin/docker rm --force inference
ExecStart=/usr/local/sbin/inference-serve
ExecStop=/usr/bin/docker stop --time=120 inference
Restart=always
RestartSec=10
TimeoutStartSec=infinity
TimeoutStopSec=150

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
# A first start that fails is tried again; what watches the host is set up all the same.
systemctl enable --now --no-block inference.service

# Tells EC2 Auto Scaling that the model answers, before the first service and on the way into a warm pool and out of it, and later
# that it no longer does.
# Until then it says that the host still loads, so that a slower start than planned is waited for, but not for ever.
cat >/usr/local/sbin/inference-ready <<'SCRIPT'
#!/bin/bash
set -euo pipefail
# shellcheck source=/dev/null
. /etc/inference/host
hook() { # action and its words
  aws autoscaling "$1" --region '${region}' --auto-scaling-group-name "$(group)" --lifecycle-hook-name ready \
    --instance-id "$(metadata instance-id)" "$${@:2}" 2>&1
}
waited=0
until curl -fsSk --max-time 10 -o /dev/null '${ready_url}'; do
  if ((waited % 300 == 0 && waited < ${start_limit_seconds})); then
    hook record-lifecycle-action-heartbeat || true
  fi
  sleep 5
  waited=$((waited + 5))
done
# Nothing waits when the host was only rebooted. What else fails is said again: a host of which the group does not hear is
# replaced. After 3600 s the group has decided, or it has no such hook.
deadline=$((SECONDS + 3600))
until said=$(hook complete-lifecycle-action --lifecycle-action-result CONTINUE) ||
  [[ $said == *'No active Lifecycle Action'* ]] || ((SECONDS > deadline)); do
  echo "$said" >&2
  sleep 10
done
# An engine that ended is started again; a host without an answer for as long as a start takes is replaced.
silent=0
while sleep 30; do
  asked=$SECONDS
  if curl -fsSk --max-time 10 -o /dev/null '${ready_url}'; then
    silent=0
  elif ((silent += 30 + SECONDS - asked, silent >= ${restart_seconds})); then
    aws autoscaling set-instance-health --region '${region}' --instance-id "$(metadata instance-id)" \
      --health-status Unhealthy || true
  fi
done
SCRIPT
chmod 0755 /usr/local/sbin/inference-ready

cat >/etc/systemd/system/inference-ready.service <<'UNIT'
[Unit]
Description=Report whether the model answers
After=inference.service network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart=/usr/local/sbin/inference-ready
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now --no-block inference-ready.service

# AWS takes a spot instance back two minutes after it says so: a successor starts, no new requests come, and when the
# running ones are answered the container ends. Of a higher risk EC2 Auto Scaling takes care by itself.
cat >/usr/local/sbin/inference-spot <<'SCRIPT'
#!/bin/bash
set -euo pipefail
# shellcheck source=/dev/null
. /etc/inference/host
until metadata spot/instance-action 2>/dev/null; do
  sleep 5
done
deadline=$((SECONDS + 100))
aws autoscaling terminate-instance-in-auto-scaling-group --region '${region}' --no-should-decrement-desired-capacity \
  --instance-id "$(metadata instance-id)" || true
# The load balancer closes the connections of a host that leaves as their requests are answered.
sleep 5
while ((SECONDS < deadline)) &&
  [[ -n $(ss --no-header --tcp state established '( sport = :8443 )') ]]; do
  sleep 1
done
systemctl stop inference.service
SCRIPT
chmod 0755 /usr/local/sbin/inference-spot
cat >/etc/systemd/system/inference-spot.service <<'UNIT'
[Unit]
Description=End well when the spot instance is taken back
After=network-online.target

[Service]
ExecStart=/usr/local/sbin/inference-spot
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT
spot='${spot}'
if [[ $spot == true ]]; then
  systemctl daemon-reload
  systemctl enable --now --no-block inference-spot.service
fi

# Once a minute: requests since the last report, those of them beyond the target of TTFT, the queue, and the minutes
# for which an engine behind the port has had requests and made no progress. The CloudWatch agent drops histograms. Within a bucket the requests count as evenly spread, as Prometheus takes them.
cat >/usr/local/sbin/inference-report <<'SCRIPT'
#!/bin/bash
set -euo pipefail
# shellcheck source=/dev/null
. /etc/inference/host
read -r url latency waiting target running progress <<<'${engine_metrics}'
dimensions="Dimensions=[{Name=AutoScalingGroupName,Value=$(group)}]"
before=''
engines=''
while sleep 60; do
  page=$(curl -fsSk --max-time 10 "$url") || continue
  read -r stalled engines <<<"$(awk -v running="$running" -v progress="$progress" -v former="$engines" '
    { engine = match($0, /[{,](engine|dp_rank)="[^"]*"/) ? substr($0, RSTART + 1, RLENGTH - 1) : "-" }
    index($1, running "{") == 1 { requests[engine] += $NF }
    index($1, progress "{") == 1 { made[engine] += $NF }
    END {
      for (at = split(former, states, " "); at > 0; at--) {
        split(states[at], state, "|")
        made_before[state[1]] = state[2]
        minutes[state[1]] = state[3]
      }
      for (engine in made) {
        now = requests[engine] > 0 ? sprintf("%.0f", made[engine]) : "none"
        minutes[engine] = now != "none" && now == made_before[engine] ? minutes[engine] + 1 : 0
        if (minutes[engine] > longest) { longest = minutes[engine] }
        told = told " " engine "|" now "|" minutes[engine]
      }
      print longest + 0 told
    }' <<<"$page")"
  now=$(awk -v latency="$latency" -v waiting="$waiting" -v target="$target" '
    index($1, latency "_bucket{") == 1 && match($0, /le="[^"]*"/) {
      edge = substr($0, RSTART + 4, RLENGTH - 5)
      if (edge == "+Inf") { all += $NF; next }
      count[edge] += $NF
    }
    index($1, waiting "{") == 1 || $1 == waiting { queue += $NF }
    END {
      for (edge in count) {
        if (edge + 0 <= target && edge + 0 >= low) { low = edge + 0; in_low = count[edge] }
        if (edge + 0 > target && (high == 0 || edge + 0 < high)) { high = edge + 0; in_high = count[edge] }
      }
      within = in_low + (high ? (in_high - in_low) * (target - low) / (high - low) : 0)
      printf "%d %.3f %d\n", all, all - within, queue
    }' <<<"$page") || continue
  read -r requests over queue <<<"$now"
  if [[ -n $before ]]; then
    # A restarted engine counts from nothing.
    read -r requests_before over_before _ <<<"$before"
    ((requests >= requests_before)) || requests_before=0 over_before=0
    over=$(awk -v now="$over" -v before="$over_before" 'BEGIN { print (now > before ? now - before : 0) }')
    stall=("MetricName=stalled_minutes,Value=$stalled,$dimensions")
    [[ $progress == - ]] && stall=()
    aws cloudwatch put-metric-data --region '${region}' --namespace '${metrics_namespace}' --metric-data "$${stall[@]}" \
      "MetricName=target_requests,Value=$((requests - requests_before)),$dimensions" \
      "MetricName=over_target,Value=$over,$dimensions" \
      "MetricName=requests_waiting,Value=$queue,$dimensions" || true
  fi
  before=$now
done
SCRIPT
chmod 0755 /usr/local/sbin/inference-report
cat >/etc/systemd/system/inference-report.service <<'UNIT'
[Unit]
Description=Report TTFT and waiting requests
After=inference.service network-online.target

[Service]
ExecStart=/usr/local/sbin/inference-report
Restart=always
RestartSec=60

[Install]
WantedBy=multi-user.target
UNIT
engine_metrics='${engine_metrics}'
if [[ -n $engine_metrics ]]; then
  systemctl daemon-reload
  systemctl enable --now --no-block inference-report.service
fi

# From here on a failure leaves the model serving; the alarms on silent metrics tell.
cloudwatch_agent=/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl
if [[ ! -x $cloudwatch_agent ]]; then
  # What AWS's key has not signed is not installed.
  bucket='https://amazoncloudwatch-agent-${region}.s3.${region}.${dns_suffix}'
  folder=$(mktemp -d)
  for file in "ubuntu/$(dpkg --print-architecture)/latest/amazon-cloudwatch-agent.deb"{,.sig} assets/amazon-cloudwatch-agent.gpg; do
    curl -fsS --retry 5 -o "$folder/$${file##*/}" "$bucket/$file"
  done
  export GNUPGHOME=$folder
  gpg --quiet --batch --import "$folder/amazon-cloudwatch-agent.gpg"
  gpg --quiet --batch --status-fd=1 --verify "$folder"/amazon-cloudwatch-agent.deb{.sig,} |
    grep '^\[GNUPG:\] VALIDSIG .*937616F3450B7D806CBD9725D58167303B789C72' >/dev/null
  # The first updates of a new host hold the lock for a while.
  apt-get -o DPkg::Lock::Timeout=600 install --yes --quiet "$folder/amazon-cloudwatch-agent.deb"
fi
# Reported once a minute; the alarms read the sums over the group.
gpu_metrics='' kernel_log=''
agent_package=${agent_package}
if [[ $gpu == true ]]; then
  gpu_metrics=', "nvidia_gpu": { "measurement": ["utilization_gpu", "memory_used", "memory_total", "temperature_gpu", "power_draw"] }'
  kernel_log=', "logs": { "logs_collected": { "files": { "collect_list": [
    { "file_path": "/var/log/kern.log", "log_group_name": "${log_group}", "log_stream_name": "{instance_id}/kernel" }
  ] } } }'
fi
if [[ -n $agent_package ]]; then
  gpu_metrics+=', "procstat": [{ "pattern": "inference-advisor-agent run", "measurement": ["pid_count"] }]'
fi
cat >/etc/inference/cloudwatch-agent.json <<JSON
{
  "agent": { "metrics_collection_interval": 60 },
  "metrics": {
    "namespace": "${metrics_namespace}",
    "append_dimensions": {
      "AutoScalingGroupName": "\$${aws:AutoScalingGroupName}", "InstanceId": "\$${aws:InstanceId}"
    },
    "aggregation_dimensions": [["AutoScalingGroupName"]],
    "metrics_collected": {
      "mem": { "measurement": ["mem_used_percent"] },
      "disk": { "measurement": ["used_percent"], "resources": ["/", "/opt/dlami/nvme", "/var/cache/inference"] }$gpu_metrics
    }
  }$kernel_log
}
JSON
"$cloudwatch_agent" -a fetch-config -m ec2 -s -c file:/etc/inference/cloudwatch-agent.json

# The system Python may come without ensurepip; its pip then fills the environment from outside.
install_agent() {
  python3 -m venv /opt/advisor-agent || python3 -m venv --clear --without-pip /opt/advisor-agent
  if [[ -x /opt/advisor-agent/bin/pip ]]; then
    /opt/advisor-agent/bin/pip install --quiet "$agent_package"
  else
    python3 -m pip --python /opt/advisor-agent/bin/python install --quiet "$agent_package"
  fi
}
if [[ -n $agent_package ]]; then
  [[ -x /opt/advisor-agent/bin/inference-advisor-agent ]] || install_agent || echo 'advisor-agent.service: Failed to install' >&2
  cat >/etc/systemd/system/advisor-agent.service <<'UNIT'
[Unit]
Description=advisor agent: samples of the accelerators
After=inference.service

[Service]
ExecStart=/opt/advisor-agent/bin/inference-advisor-agent run --output /var/lib/advisor/samples
DynamicUser=yes
StateDirectory=advisor
ProtectSystem=strict
ProtectHome=yes
NoNewPrivileges=yes
Restart=always
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
  systemctl enable --now advisor-agent.service
fi
