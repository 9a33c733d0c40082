"""Cost of an output token against that of an input token, where one sum is paid for both."""

from statistics import median

from advisor.data_files import data_dir
from advisor.tables import read_rows


def output_weight() -> float:
    """Input tokens that one output token costs as much as: the median over the models that are sold by the token."""
    rows = read_rows(data_dir("instance_catalog") / "token_prices.csv")
    prices = [(float(row["input_usd_per_million"] or 0), float(row["output_usd_per_million"] or 0)) for row in rows]
    return median(output / entered for entered, output in prices if entered > 0 and output > 0)
