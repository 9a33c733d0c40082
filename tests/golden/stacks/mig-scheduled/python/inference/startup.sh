#!/bin/bash
# Runs at every start of an inference host: the serving container first, then what watches it. No digest or version of
# the plan stands here: a change of this text replaces every host.
set -euo pipefail

# Package lists of one repository alone: only HTTPS leads out of the network.
install_packages() { # name, address of the key, repository, packages...
  install -d -m 0755 /etc/apt/keyrings
  curl -fsSL --retry 5 -o "/etc/apt/keyrings/$1.asc" "$2"
  echo "deb [signed-by=/etc/apt/keyrings/$1.asc] $3" >"/etc/apt/sources.list.d/$1.list"
  apt-get update --quiet -o "Dir::Etc::sourcelist=/etc/apt/sources.list.d/$1.list" -o Dir::Etc::sourceparts=-
  DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends -o DPkg::Lock::Timeout=600 "$${@:4}"
}
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

if ! command -v docker >/dev/null; then
  echo 'docker is missing: choose a machine image that has it' >&2
  exit 1
fi

# The load balancer encrypts the way to the host and does not verify the certificate.
install -d -m 0700 /etc/inference /var/cache/inference
if [[ ! -f /etc/inference/certificate.pem ]]; then
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=inference \
    -keyout /etc/inference/key.pem -out /etc/inference/certificate.pem 2>/dev/null
fi

# The token is read at each start and lives in memory only.
cat >/usr/local/sbin/inference-token <<'SCRIPT'
#!/bin/bash
set -euo pipefail
umask 077
install -d -m 0700 /run/inference
: >/run/inference/environment
secret='${hf_token_secret}'
if [[ -n $secret ]]; then
  token=$(gcloud secrets versions access "$secret/versions/latest")
  printf 'HF_TOKEN=%s\n' "$token" >/run/inference/environment
fi
SCRIPT

command=(
  docker run --rm --name=inference
  --network=host --ipc=host --log-driver=none
  --env-file=/run/inference/environment
  --volume=/etc/inference:/etc/inference:ro
  --volume=/var/cache/inference:/root/.cache
  ${words}
)
{
  echo '#!/bin/bash'
  echo "exec $${command[*]@Q}"
} >/usr/local/sbin/inference-serve
chmod 0755 /usr/local/sbin/inference-token /usr/local/sbin/inference-serve

# What the container prints goes to the journal, and from there to Cloud Logging.
cat >/etc/systemd/system/inference.service <<'UNIT'
[Unit]
Description=Model serving container
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
StartLimitIntervalSec=0

[Service]
Environment=HOME=/root
ExecStartPre=/usr/local/sbin/inference-token
ExecStartPre=-/usr/bin/docker rm --force inference
ExecStart=/usr/local/sbin/inference-serve
ExecStop=/usr/bin/docker stop --time=120 inference
Restart=always
RestartSec=10
TimeoutStopSec=150

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable --now inference.service

# From here on a failure leaves the model serving; the alerts on silent metrics tell.
if ! dpkg --status google-cloud-ops-agent >/dev/null 2>&1; then
  install_packages google-cloud-ops-agent https://packages.cloud.google.com/apt/doc/apt-key.gpg \
    "https://packages.cloud.google.com/apt google-cloud-ops-agent-$codename-all main" google-cloud-ops-agent
fi
cat >/etc/google-cloud-ops-agent/config.yaml <<'YAML'
${ops_agent}
YAML
systemctl restart google-cloud-ops-agent.service

# The system Python may come without ensurepip; its pip then fills the environment from outside.
agent_package=${agent_package}
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
ExecStart=/opt/advisor-agent/bin/inference-advisor-agent run --output /var/lib/advisor/samples --interval 1s
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
