"""Cost of an output token against that of an input token, where one sum is paid for both."""

from statistics import median

from advisor.catalog import load_catalog


def output_weight() -> float:
    """Input tokens that one output token costs as much as: the median over the models that are sold by the token."""
    return median(
        price.output_usd_per_million / price.input_usd_per_million
        for price in load_catalog().every_token_price
        if price.input_usd_per_million > 0 and price.output_usd_per_million > 0
    )
