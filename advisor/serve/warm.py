"""Catalog, model and page of all planning processes, read once by the process that they are forked from.

A small plan is made, so that everything is loaded that others need; what it is of plays no part.
"""

import gc
from pathlib import Path

from advisor import LITTLE_GARBAGE
from advisor.serve import Place, Source, work

_SMALL = """\
name: small
model: meta-llama/Llama-3.1-8B-Instruct
precisions: [bf16]
slo: {ttft_p95: 1s, tpot_p95: 50ms}
demand: {declared: {requests_per_second: 1, input_tokens: 800, output_tokens: 200}}
providers: [aws]
regions: [us-east-1]
accelerators: [L4]
"""

work.planned(Source(_SMALL, Path("workload.yaml"), is_own=False), (), None, Place("/", "", "/"))
gc.freeze()
gc.set_threshold(LITTLE_GARBAGE)
