#!/bin/bash
# Runs at every start of an inference host: the serving container first, then what watches it. No digest or version of
# the plan stands here: a change of this text replaces every host.
set -euo pipefail

# Package lists of one repository alone: only HTTPS leads out of the network.
install_packages() { # name, address of the key, repository, packages...
  install -d -m 0755 /etc/apt/keyrings
  until curl -fsSL --retry 5 -o "/etc/apt/keyrings/$1.asc" "$2"; do
    sleep 10
  done
  echo "deb [signed-by=/etc/apt/keyrings/$1.asc] $3" >"/etc/apt/sources.list.d/$1.list"
  # Nobody replaces a host that is slow to start: what a mirror does not give now, it gives later.
  until apt-get update --quiet -o "Dir::Etc::sourcelist=/etc/apt/sources.list.d/$1.list" -o Dir::Etc::sourceparts=- &&
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=600 "$${@:4}"; do
    sleep 10
  done
}
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

if ! command -v docker >/dev/null; then
  tpu='${tpu}'
  if [[ $tpu != true ]]; then
    echo 'docker is missing: choose a machine image that has it' >&2
    exit 1
  fi
  # Google's images for TPUs come without it.
  install_packages docker https://download.docker.com/linux/ubuntu/gpg \
    "https://download.docker.com/linux/ubuntu $codename stable" docker-ce docker-ce-cli containerd.io
fi

# What is downloaded lies on the machine's own disks where it has any: one file system over all of them.
mount_own_disks() { # disks...
  local disk=$1
  udevadm settle
  if [[ ! -e /dev/disk/by-label/inference ]]; then
    if (($# > 1)); then
      if ! command -v mdadm >/dev/null; then
        echo 'mdadm is missing: choose a machine image that has it' >&2
        exit 1
      fi
      disk=/dev/md/inference
      mdadm --create "$disk" --run --level=0 --raid-devices=$# "$@"
    fi
    mkfs.ext4 -q -F -m 0 -L inference "$disk"
    udevadm settle
  fi
  mount /dev/disk/by-label/inference /var/cache/inference
}

# The load balancer encrypts the way to the host and does not verify the certificate.
install -d -m 0700 /etc/inference /var/cache/inference
mapfile -t disks < <(find /dev/disk/by-id -name 'google-local-nvme-ssd-*' ! -name '*-part*' 2>/dev/null)
if [[ -n $${disks[*]} ]] && ! mountpoint --quiet /var/cache/inference; then
  mount_own_disks "$${disks[@]}"
fi
if [[ ! -f /etc/inference/certificate.pem ]]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=inference \
    -keyout /etc/inference/key.pem -out /etc/inference/certificate.pem 2>/dev/null
fi

# The token and the login to the image's registry are made at each start and live in memory only.
cat >/usr/local/sbin/inference-token <<'SCRIPT'
#!/bin/bash
set -euo pipefail
umask 077
install -d -m 0700 /run/inference
environment=$(mktemp --tmpdir=/run/inference)
secret='${hf_token_secret}'
if [[ -n $secret ]]; then
  token=$(gcloud secrets versions access "$secret/versions/latest")
  printf 'HF_TOKEN=%s\n' "$token" >"$environment"
fi
registry='${registry}'
secret='${registry_secret}'
if [[ $registry == *-docker.pkg.dev ]]; then
  token=$(gcloud auth print-access-token)
  docker login --username=oauth2accesstoken --password-stdin "https://$registry" <<<"$token"
elif [[ $registry == nvcr.io && -n $secret ]]; then
  token=$(gcloud secrets versions access "$secret/versions/latest")
  # shellcheck disable=SC2016 # the name of the user
  docker login --username='$oauthtoken' --password-stdin nvcr.io <<<"$token"
fi
mv "$environment" /run/inference/environment
SCRIPT

# Weights of a bucket are copied before the container starts; a copy that was broken off goes on where it stopped.
cat >/usr/local/sbin/inference-weights <<'SCRIPT'
#!/bin/bash
set -euo pipefail
source='${model_source}'
model='${model}'
if [[ $source == gs://* ]]; then
  folder=/var/cache/inference/models/$model
  install -d "$folder"
  # A pattern that only the folder matches: a plain name is first read as an object, and the bucket answers those who may
  # not list all of it that they may not, in place of that there is none.
  if ! gcloud storage rsync --recursive "$source/$${model%?}[$${model: -1}]" "$folder" || [[ ! $(ls -A "$folder") ]]; then
    echo "No weights from $source/$model: copy the model there, or give another model_source" >&2
    exit 1
  fi
fi
SCRIPT

command=(
  docker run --rm --name=inference
  --network=host --ipc=host --log-driver=none
  --env-file=/run/inference/environment
  --volume=/etc/inference:/etc/inference:ro
  --volume=/var/cache/inference:/root/.cache
)
model_source='${model_source}'
# A folder of the host; what the host has not is in the image.
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
# A stop, such as that of a spot machine, first refuses new connections, which the load balancer makes elsewhere, then lets
# running requests end. Once the container is gone, nobody answers at the port anyway.
cat >/usr/local/sbin/inference-drain <<'SCRIPT'
#!/bin/bash
set -uo pipefail
refused=(INPUT ! --in-interface lo --protocol tcp --syn --dport 8443 --jump REJECT --reject-with tcp-reset)
running() { # requests that run or wait, or the connections to an engine that counts neither; nothing: it is too busy to say
  local page
  page=$(curl -fsSk --max-time 2 https://127.0.0.1:8443/metrics)
  case $? in
    0 | 22) # an answer, be it an error
      awk '/^[a-z]+[:_](omni_)?(num_requests_(running|waiting)|num_(running|queue)_reqs|requests_(processing|deferred))[{ ]/ { count += $NF; told = 1 } END { if (told) print count; else exit 1 }' <<<"$page" ||
        ss --no-header --tcp state established 'sport = :8443' | wc -l
      ;;
    7) echo 0 ;; # nobody listens any more
  esac
}
iptables --insert "$${refused[@]}"
until ((SECONDS >= ${drain_seconds})) || [[ $(running) == 0 ]]; do
  sleep 1
done
docker stop --time=5 inference
iptables --delete "$${refused[@]}"
SCRIPT
chmod 0755 /usr/local/sbin/inference-{drain,serve,token,weights}

# What the container prints goes to the journal, and from there to Cloud Logging.
cat >/etc/systemd/system/inference.service <<'UNIT'
[Unit]
Description=Model serving container
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
StartLimitIntervalSec=0

[Service]
Environment=HOME=/root DOCKER_CONFIG=/run/inference
# An engine that starts again needs no service that may not answer: weights are copied once after a boot, and tokens of before
# do where no new ones are to be had.
ExecStartPre=/bin/sh -c '/usr/local/sbin/inference-token || test -e /run/inference/prepared'
ExecStartPre=/bin/sh -c 'test -e /run/inference/prepared || /usr/local/sbin/inference-weights'
ExecStartPre=/bin/touch /run/inference/prepared
ExecStartPre=-/usr/bin/docker rm --force inference
ExecStart=/usr/local/sbin/inference-serve
ExecStop=/usr/local/sbin/inference-drain
Restart=always
RestartSec=10
TimeoutStartSec=infinity
TimeoutStopSec=150
UNIT
systemctl daemon-reload
# Started here at every start of the host, once the disks are there, and not waited for.
systemctl start --no-block inference.service

# From here on a failure leaves the model serving; the alerts on silent metrics tell.
if ! dpkg --status google-cloud-ops-agent >/dev/null 2>&1; then
  install_packages google-cloud-ops-agent https://packages.cloud.google.com/apt/doc/apt-key.gpg \
    "https://packages.cloud.google.com/apt google-cloud-ops-agent-$codename-all main" google-cloud-ops-agent
fi
# Beside what the agent reports by itself (memory, disks, GPUs), it asks the engine each minute whether it answers.
cat >/etc/google-cloud-ops-agent/config.yaml <<'YAML'
logging:
  receivers:
    journal: { type: systemd_journald }
  service:
    pipelines:
      default_pipeline: { receivers: [journal] }
metrics:
  receivers:
    serving:
      type: prometheus
      config:
        scrape_configs:
          - job_name: inference
            scheme: https
            scrape_interval: 60s
            tls_config: { insecure_skip_verify: true }
            static_configs:
              - targets: [localhost:8443]
                labels: { deployment: '${deployment}', group: '${group}' }
            metric_relabel_configs:
              - { source_labels: [__name__], regex: '${scraped}', action: keep }
  service:
    pipelines:
      serving: { receivers: [serving] }
YAML
systemctl restart google-cloud-ops-agent.service

agent_package=${agent_package}
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
