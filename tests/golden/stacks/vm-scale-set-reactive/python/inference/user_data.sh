#!/bin/bash
# Starts one inference host: the serving container first, then what watches it. No digest or version of the plan stands
# here: a change of this text replaces every host.
set -euo pipefail

if ! command -v docker >/dev/null; then
  echo 'docker is missing: choose a machine image that has it' >&2
  exit 1
fi

install -d -m 0700 /etc/inference /var/cache/inference
cat >/etc/inference/settings.json <<'JSON'
${settings}
JSON
cat >/usr/local/sbin/inference-host <<'PROGRAM'
#!/usr/bin/env python3
${program}
PROGRAM
chmod 0755 /usr/local/sbin/inference-host

cat >/etc/systemd/system/inference.service <<'UNIT'
[Unit]
Description=Model serving container
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
StartLimitIntervalSec=0

[Service]
ExecStartPre=-/usr/local/sbin/inference-host storage
ExecStartPre=/usr/local/sbin/inference-host secrets
ExecStartPre=/usr/local/sbin/inference-host weights
ExecStartPre=-/usr/bin/docker rm --force inference
ExecStart=/usr/local/sbin/inference-host serve
ExecStop=/usr/bin/docker stop --time=120 inference
TimeoutStartSec=infinity
Restart=always
RestartSec=10
TimeoutStopSec=150

[Install]
WantedBy=multi-user.target
UNIT

cat >/etc/systemd/system/inference-drain.service <<'UNIT'
[Unit]
Description=Lets open requests end before Azure takes the host
After=network-online.target

[Service]
ExecStart=/usr/local/sbin/inference-host drain
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT

cat >/etc/systemd/system/inference-health.service <<'UNIT'
[Unit]
Description=Tells Azure whether the host is to be replaced

[Service]
ExecStart=/usr/local/sbin/inference-host health
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
UNIT

cat >/etc/systemd/system/inference-report.service <<'UNIT'
[Unit]
Description=One line on the host in the system log

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/inference-host report
UNIT

cat >/etc/systemd/system/inference-report.timer <<'UNIT'
[Unit]
Description=A report each minute

[Timer]
OnCalendar=minutely
AccuracySec=1s

[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
# A first start that fails, as before its rights have spread, is tried again; the rest is set up all the same.
systemctl enable --now --no-block inference.service inference-drain.service inference-health.service inference-report.timer

# From here on a failure leaves the model serving; the alarm on the silent agent tells.
agent_package='${agent_package}'
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
