"""Generated HCL for provider 6.x in the words of provider 3.39, the newest real one that can be had as a package.

Every rule renames or removes; nothing is added but what 3.39 insists on. What 3.39 cannot say is left to the checks
against the recorded schema of 6.x.
"""

import re

_UNKNOWN_ARGUMENTS = re.compile(
    r"^\s*(default_instance_warmup|instance_metadata_tags|auto_rollback|max_healthy_percentage|skip_matching|time_zone)"
    r"\s*=.*\n",
    re.MULTILINE,
)
_BLOCK = re.compile(r"^(?:resource|data) \"aws_.*?^\}\n", re.MULTILINE | re.DOTALL)
_REGION = re.compile(r"^  region\s*=.*\n", re.MULTILINE)
_UNKNOWN_RESOURCES = re.compile(r'^resource "aws_ce_anomaly_.*?^\}\n', re.MULTILINE | re.DOTALL)
_UNKNOWN_BLOCKS = re.compile(
    r'^  dynamic "capacity_reservation_specification" \{\n'
    r"(?:    .*\n|\n)*?      capacity_reservation_preference.*\n(?:    .*\n|\n)*?  \}\n"
    r"|^      instance_reuse_policy \{.*\}\n",
    re.MULTILINE,
)
_RULE = re.compile(r'resource "aws_vpc_security_group_(ingress|egress)_rule" "(\w+)" \{\n(.*?)\n\}\n', re.DOTALL)
_TAGS = re.compile(r"\n  tags += local\.tags(?=\n)")
_UNTAGGED = re.compile(
    r'^resource "aws_(?:budgets_budget|lb_listener|iam_instance_profile)" .*?^\}\n', re.MULTILINE | re.DOTALL
)
_RENAMED = (
    (re.compile(r"aws_vpc_security_group_(ingress|egress)_rule\.(\w+)"), r"aws_security_group_rule.\2_\1"),
    (re.compile(r"price-capacity-optimized"), "capacity-optimized"),
    (
        re.compile(r"  cost_filter \{\n\s*name\s*= (.*)\n\s*values\s*= \[(.*)\]\n\s*\}"),
        r"  cost_filters = { (\1) = \2 }",
    ),
    (
        re.compile(r'(resource "aws_budgets_budget" "\w+" \{\n)'),
        r'\1  time_period_start = "2026-01-01_00:00"' + "\n",
    ),
    (re.compile(r'"volume", "network-interface"'), '"volume"'),
)


def downlevel(text: str) -> str:
    """One file in the words of 3.39."""
    text = _UNKNOWN_RESOURCES.sub("", text)
    text = _BLOCK.sub(lambda block: _REGION.sub("", block[0]), text)
    text = _UNTAGGED.sub(lambda block: _TAGS.sub("", block[0]), text)
    text = _UNKNOWN_BLOCKS.sub("", text)
    text = _UNKNOWN_ARGUMENTS.sub("", _RULE.sub(_rule, text))
    for pattern, replacement in _RENAMED:
        text = pattern.sub(replacement, text)
    return text


def _rule(found: re.Match[str]) -> str:
    kind, name, body = found[1], found[2], _TAGS.sub("", f"{found[3]}\n").rstrip("\n")
    body = re.sub(r"\bip_protocol\b", "protocol", body)
    body = re.sub(r"\breferenced_security_group_id\b", "source_security_group_id", body)
    body = re.sub(r"\bcidr_ipv4(\s*)= (.*)", r"cidr_blocks\1= [\2]", body)
    return f'resource "aws_security_group_rule" "{name}_{kind}" {{\n  type = "{kind}"\n{body}\n}}\n'
