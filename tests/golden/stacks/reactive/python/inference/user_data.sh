#!/bin/bash
# Starts one inference host: the serving container first, then what watches it. No digest or version of the plan stands
# here: a change of this text replaces every host.
set -euo pipefail

export AWS_DEFAULT_REGION='${region}'
instance_token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' http://169.254.169.254/latest/api/token)
instance_id=$(curl -fsS -H "X-aws-ec2-metadata-token: $instance_token" http://169.254.169.254/latest/meta-data/instance-id)

if ! command -v docker >/dev/null; then
  echo 'docker is missing: choose a machine image that has it' >&2
  exit 1
fi

# The load balancer encrypts the way to the host and does not verify the certificate.
install -d -m 0700 /etc/inference /var/cache/inference
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=inference \
  -keyout /etc/inference/key.pem -out /etc/inference/certificate.pem 2>/dev/null

# The token is read at each start and lives in memory only.
cat >/usr/local/sbin/inference-token <<'SCRIPT'
#!/bin/bash
set -euo pipefail
umask 077
install -d -m 0700 /run/inference
: >/run/inference/environment
secret='${hf_token_secret_arn}'
if [[ -n $secret ]]; then
  token=$(aws secretsmanager get-secret-value --region "$(cut -d: -f4 <<<"$secret")" --secret-id "$secret" \
    --query SecretString --output text)
  printf 'HF_TOKEN=%s\n' "$token" >/run/inference/environment
fi
SCRIPT

command=(
  docker run --rm --name=inference
  --network=host --ipc=host
  --log-driver=awslogs '--log-opt=awslogs-region=${region}' '--log-opt=awslogs-group=${log_group}'
  "--log-opt=awslogs-stream=$instance_id"
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

cat >/etc/systemd/system/inference.service <<'UNIT'
[Unit]
Description=Model serving container
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
StartLimitIntervalSec=0

[Service]
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

# Tells EC2 Auto Scaling that the model answers: before the first service, and on the way into a warm pool and out of it.
cat >/usr/local/sbin/inference-ready <<'SCRIPT'
#!/bin/bash
set -euo pipefail
metadata=http://169.254.169.254/latest
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$metadata/api/token")
instance_id=$(curl -fsS -H "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/instance-id")
group=$(aws ec2 describe-tags --region '${region}' --query 'Tags[0].Value' --output text \
  --filters "Name=resource-id,Values=$instance_id" Name=key,Values=aws:autoscaling:groupName)
until curl -fsSk -o /dev/null '${ready_url}'; do
  sleep 5
done
# Nothing waits when the host was only rebooted.
aws autoscaling complete-lifecycle-action --region '${region}' --auto-scaling-group-name "$group" \
  --lifecycle-hook-name ready --instance-id "$instance_id" --lifecycle-action-result CONTINUE || true
SCRIPT
chmod 0755 /usr/local/sbin/inference-ready

cat >/etc/systemd/system/inference-ready.service <<'UNIT'
[Unit]
Description=Report that the model answers
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
systemctl enable --now inference-ready.service

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
  dpkg --install "$folder/amazon-cloudwatch-agent.deb"
fi
cat >/etc/inference/cloudwatch-agent.json <<'JSON'
${cloudwatch_agent}
JSON
"$cloudwatch_agent" -a fetch-config -m ec2 -s -c file:/etc/inference/cloudwatch-agent.json

# The system Python may come without ensurepip; its pip then fills the environment from outside.
agent_package=${agent_package}
if [[ -n $agent_package ]]; then
  python3 -m venv /opt/advisor-agent || python3 -m venv --clear --without-pip /opt/advisor-agent
  if [[ -x /opt/advisor-agent/bin/pip ]]; then
    /opt/advisor-agent/bin/pip install --quiet "$agent_package"
  else
    python3 -m pip --python /opt/advisor-agent/bin/python install --quiet "$agent_package"
  fi
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
