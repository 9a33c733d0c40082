"""Kinds of charges: which meter is compute, storage, network or a managed service; and what a machine's type is."""

from collections.abc import Sequence

from advisor.audit.sql import text
from advisor.data_files import data_dir
from advisor.records import dataclass
from advisor.tables import Row, read_rows

_TABLE = "charge_kinds.csv"
_METER = "concat_ws(' ', meter, description, resource_type)"
_AWS = r"\b(?:ml\.)?([a-z][a-z0-9-]*\.(?:[0-9]*xlarge|large|medium|small|micro|nano|metal[a-z0-9-]*))"
_AZURE = r"(Standard_[A-Z][A-Za-z0-9_]*)"
_GCP = r"\b([a-z][0-9]+[a-z]?-[a-z]+(?:gpu)?-[0-9]+[a-z]*)\b"
_GCP_FAMILY = r"^([A-Z][0-9]+[A-Z]?)\b.* Instance (?:Core|Ram)"
_ACCELERATED = r"nvidia|\bgpu\b|\btpu|tesla|inferentia|trainium"
_AWS_ACCELERATED = r"^(p[2-9][a-z0-9-]*|g[3-9][a-z0-9-]*|inf[0-9]+|trn[0-9]+[a-z]*|dl[0-9]+[a-z]*)\."
"""Families of https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html, met by types that the catalog lacks."""


@dataclass(frozen=True, slots=True)
class KindRule:
    """One row of the table of kinds: patterns that are empty fit everything."""

    provider: str
    service: str
    meter: str
    category: str
    kind: str

    @property
    def condition(self) -> str:
        """SQL that is true of the charges that it is about."""
        parts = [f"provider = {text(self.provider)}"] if self.provider else []
        parts += [f"regexp_matches(coalesce(service, ''), {text(self.service)}, 'i')"] if self.service else []
        parts += [f"regexp_matches({_METER}, {text(self.meter)}, 'i')"] if self.meter else []
        parts += [f"category = {text(self.category)}"] if self.category else []
        return " AND ".join(parts)


def kind_rules() -> list[KindRule]:
    """The shipped table, in the order in which it is asked."""
    return [_rule(row) for row in read_rows(data_dir("instance_catalog") / _TABLE)]


def _rule(row: Row) -> KindRule:
    return KindRule(*(row[column] for column in ("provider", "service", "meter", "category", "kind")))


def kind_sql(rules: Sequence[KindRule]) -> str:
    """SQL of the kind of a charge: the first rule that fits, ``other`` where none does."""
    cases = " ".join(f"WHEN {rule.condition} THEN {text(rule.kind)}" for rule in rules)
    return f"CASE WHEN charge = 'tax' THEN 'other' {cases} ELSE 'other' END"


def instance_type_sql() -> str:
    """SQL of the type of machine: stated, in the details of the price, or in the meter's words; NULL where unknown."""
    stated = "replace(instance_type, 'ml.', '')"
    details = (
        "coalesce(json_extract_string(TRY_CAST(details AS JSON), '$.InstanceType'), "
        "json_extract_string(TRY_CAST(details AS JSON), '$.ServiceType'))"
    )
    words = [f"nullif(regexp_extract({_METER}, {text(pattern)}, 1), '')" for pattern in (_AWS, _AZURE, _GCP)]
    return f"coalesce(nullif({stated}, ''), {details}, {', '.join(words)})"


def family_sql() -> str:
    """SQL of the family of a machine; Google bills cores and memory of a family and not a machine."""
    return f"coalesce(families.family, lower(nullif(regexp_extract(description, {text(_GCP_FAMILY)}, 1), '')))"


def accelerated_sql() -> str:
    """SQL of whether a compute charge is for accelerators or their hosts; ``catalogued`` holds the known types."""
    gpus = "TRY_CAST(json_extract_string(TRY_CAST(details AS JSON), '$.GpuCount') AS DOUBLE)"
    return (
        f"coalesce({gpus} > 0, false) OR (provider, machine) IN (SELECT (provider, name) FROM catalogued) "
        f"OR regexp_matches(coalesce(machine, ''), {text(_AWS_ACCELERATED)}) "
        f"OR regexp_matches({_METER}, {text(_ACCELERATED)}, 'i')"
    )
