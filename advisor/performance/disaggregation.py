"""Prefill and decoding on separate replicas of one type, joined by a link, under random arrivals.

Both sides are the open loop of :mod:`advisor.performance.serving`: a prefill replica serves requests of one token, a
decode replica requests whose prompts are all cached. A prompt's cache travels after its prefill, so TTFT is wait +
prefill + transfer, and no prompt ever stalls an answer. Requests are taken to arrive at random at the decode side too.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from advisor.demand.values import TokenHistogram
from advisor.performance.deployments import Packed
from advisor.performance.physics import Floats, Replicas, kv_bytes_per_sequence
from advisor.performance.serving import Latency, capacity_at_slo, latency_at_rate
from advisor.units import MS_PER_SECOND
from advisor.workload.values import Slo


@dataclass(frozen=True, slots=True)
class Pool:
    """Prefill and decode replicas, and the link that joins them."""

    prefill_replicas: int
    decode_replicas: int
    link_bytes_per_second: float
    """From one prefill replica to the decode replicas, all of its accelerators together."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitCapacity:
    """The largest rate of a whole pool within the SLO, and that of each of its parts."""

    requests_per_second: Floats
    prefill: Floats
    decode: Floats
    link: Floats


def disaggregated(packed: Packed, tokens: TokenHistogram, slo: Slo, pool: Pool) -> SplitCapacity:
    """Rate of the pool: the least of what prefill, decoding and the link sustain; 0 where even one request is too slow.

    The prefill side has the time-to-first-token target less the longest prompt's transfer, the decode side has what is
    then left of the end-to-end target. Without the former, each has half of the latter.
    """
    whole_ms = slo.e2e_p95_ms
    first_ms = slo.ttft_p95_ms or (whole_ms and whole_ms / 2)
    transfer_ms = float(transfer_seconds(packed.replicas, tokens.input_tokens.max(), pool).max()) * MS_PER_SECOND
    prefill_slo = Slo(ttft_p95_ms=None if first_ms is None else first_ms - transfer_ms)
    rest_ms = None if whole_ms is None or first_ms is None else whole_ms - first_ms
    decode_slo = Slo(tpot_p95_ms=slo.tpot_p95_ms, e2e_p95_ms=rest_ms)
    prefill = capacity_at_slo(packed, _prompts(tokens), prefill_slo)
    decode = capacity_at_slo(packed, _answers(tokens), decode_slo)
    mean_transfer = transfer_seconds(packed.replicas, tokens.mean_input_tokens(), pool)
    parts = (
        prefill.requests_per_second * pool.prefill_replicas,
        decode.requests_per_second * pool.decode_replicas,
        pool.prefill_replicas / mean_transfer,
    )
    return SplitCapacity(np.minimum(np.minimum(parts[0], parts[1]), parts[2]), *parts)


def latency_of_pool(packed: Packed, tokens: TokenHistogram, rates: Floats, pool: Pool) -> Latency:
    """Latency of each pool at a given rate of requests per second; the transfer is that of the longest prompt."""
    first = latency_at_rate(packed, _prompts(tokens), rates / pool.prefill_replicas)
    rest = latency_at_rate(packed, _answers(tokens), rates / pool.decode_replicas)
    transfer = transfer_seconds(packed.replicas, tokens.input_tokens.max(), pool) * MS_PER_SECOND
    ttft = first.ttft_p95_ms + transfer
    return Latency(ttft, rest.tpot_p95_ms, ttft + rest.e2e_p95_ms)


def best_split(packed: Packed, tokens: TokenHistogram, slo: Slo, pool: Pool) -> npt.NDArray[np.intp]:
    """Prefill replicas, of all that the pool has, with which each deployment sustains the largest rate."""
    replicas = pool.prefill_replicas + pool.decode_replicas
    rates = [
        disaggregated(packed, tokens, slo, replace(pool, prefill_replicas=count, decode_replicas=replicas - count))
        for count in range(1, replicas)
    ]
    best: npt.NDArray[np.intp] = 1 + np.argmax(np.array([rate.requests_per_second for rate in rates]), axis=0)
    return best


def transfer_seconds(r: Replicas, prompt_tokens: float, pool: Pool) -> Floats:
    """Seconds to send the cache of one prompt; ranks that hold copies send one of them."""
    return kv_bytes_per_sequence(r, prompt_tokens) / r.kv_copies / pool.link_bytes_per_second


def _prompts(tokens: TokenHistogram) -> TokenHistogram:
    """Lengths that a prefill replica sees: the same prompts, and one token each."""
    return replace(tokens, output_tokens=np.ones_like(tokens.output_tokens))


def _answers(tokens: TokenHistogram) -> TokenHistogram:
    """Lengths that a decode replica sees: the same requests with their prompts in the cache."""
    return replace(tokens, prefix_cache_hit_ratio=1.0)
