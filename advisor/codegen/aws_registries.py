"""Registry of the AWS Deep Learning Containers in each region, by their region availability of November 2026."""

from functools import cache
from pathlib import Path

from advisor.tables import read_rows


@cache
def _accounts() -> dict[str, str]:
    """Account of the registry of each region."""
    return {row["region"]: row["account"] for row in read_rows(Path(__file__).with_name("aws_registries.csv"))}


def registry_of(region: str) -> str:
    """Host of the registry in a region; "" where none is known."""
    account = _accounts().get(region)
    suffix = "com.cn" if region.startswith("cn-") else "com"
    return f"{account}.dkr.ecr.{region}.amazonaws.{suffix}" if account else ""
