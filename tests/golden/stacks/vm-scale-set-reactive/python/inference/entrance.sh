#!/bin/bash
# Starts a host of the entrance: HAProxy in front of the load balancers of the backends.
set -euo pipefail

install -d -m 0700 /etc/inference
cat >/etc/inference/settings.json <<'JSON'
${settings}
JSON
cat >/usr/local/sbin/inference-host <<'PROGRAM'
#!/usr/bin/env python3
${program}
PROGRAM
chmod 0755 /usr/local/sbin/inference-host

# The certificate is read into memory before each start.
install -d /etc/systemd/system/haproxy.service.d
cat >/etc/systemd/system/haproxy.service.d/inference.conf <<'UNIT'
[Unit]
StartLimitIntervalSec=0

[Service]
ExecStartPre=
ExecStartPre=/usr/local/sbin/inference-host secrets
Restart=always
RestartSec=10
TimeoutStartSec=120
UNIT
cat >/etc/systemd/system/inference-renew.service <<'UNIT'
[Unit]
Description=Takes up a renewed certificate

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/inference-host renew
UNIT
cat >/etc/systemd/system/inference-renew.timer <<'UNIT'
[Unit]
Description=A look at the certificate each hour

[Timer]
OnCalendar=hourly
RandomizedDelaySec=10m

[Install]
WantedBy=timers.target
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

export DEBIAN_FRONTEND=noninteractive
until apt-get -q update && apt-get -q -y --no-install-recommends install haproxy; do
  sleep 10
done
cat >/etc/haproxy/haproxy.cfg <<'CONFIGURATION'
${configuration}
CONFIGURATION
systemctl daemon-reload
systemctl enable inference-drain.service inference-renew.timer haproxy.service
systemctl restart inference-drain.service inference-renew.timer haproxy.service
