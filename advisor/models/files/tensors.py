"""Tensors as the header of a weight file lists them: names, shapes, storage; the numbers themselves are never read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from advisor.records import dataclass

MOST_ELEMENTS = 2**53
"""Largest tensor: a float still counts it exactly."""
MOST_TENSORS = 250_000
"""Of all files of a model; mixtures of 384 experts in 60 layers have 207,000 with their scales."""
MOST_DIMENSIONS = 8
MOST_NAME = 1024
"""Longest name of a tensor; GGUF itself allows 64 bytes, PyTorch's modules stay below 200."""
_BUFFERS = (".running_mean", ".running_var", ".position_ids", ".num_batches_tracked", ".attn.bias", ".inv_freq")
"""Ends of names that hold state of the computation, not what was learned."""
_SCALES = (".scales", ".qzeros", ".g_idx", "weight_scale", "weight_scale_inv", "weight_scale_2", "_scales", ".absmax")
"""Ends of names that hold the scales of quantised matrices."""
_PACKED = {"qweight": 32, "weight_packed": 32, "_blocks": 8}
"""Ends of names of matrices of four-bit numbers, and the bits of a stored element that they are packed into."""
_UNLEARNED, _PACKED_ENDS = (*_BUFFERS, *_SCALES), tuple(_PACKED)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a weight file."""

    name: str
    shape: tuple[int, ...]
    storage: str
    """Data type as the format names it: ``BF16``, ``Q4_K``, ``FLOAT``."""
    bits: float
    """Of a stored element, scales of its block included."""

    @property
    def elements(self) -> int:
        """Stored elements; 1 for a scalar."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes in the file."""
        return round(self.elements * self.bits / 8)

    @property
    def parameters(self) -> int:
        """Learned numbers: none for buffers, scales and indices, eight for each 32 bits of packed four-bit numbers."""
        if self.name.endswith(_UNLEARNED):
            return 0
        if not self.name.endswith(_PACKED_ENDS):
            return 0 if self.storage in ("I64", "I32", "BOOL") else self.elements
        packed = next((bits for end, bits in _PACKED.items() if self.name.endswith(end) and self.bits == bits), None)
        return self.elements * packed // 4 if packed else self.elements


def parameters_of(tensors: Iterable[Tensor]) -> int:
    """Learned numbers of all tensors."""
    return sum(tensor.parameters for tensor in tensors)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes that all tensors take in their files."""
    return sum(tensor.bytes for tensor in tensors)


_PRECISIONS = {
    **dict.fromkeys(("F32", "FLOAT", "F64", "DOUBLE"), "fp32"),
    **dict.fromkeys(("F16", "FLOAT16"), "fp16"),
    **dict.fromkeys(("BF16", "BFLOAT16"), "bf16"),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "FLOAT8E4M3FN", "FLOAT8E5M2"), "fp8"),
    "MXFP4": "mxfp4",
    "NVFP4": "nvfp4",
}


def precision_of(tensors: Sequence[Tensor]) -> str:
    """Precision that most parameters are stored in; of integers and blocks, the one whose bits come nearest.

    GGUF's Q4_K_M takes 4.85 bits a weight and counts as int4, Q8_0 takes 8.5 and counts as int8: their exact bytes are
    kept beside it.
    """
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[_precision(tensor)] += tensor.parameters
    return counts.most_common(1)[0][0] if counts else "fp32"


def _precision(tensor: Tensor) -> str:
    stored = _PRECISIONS.get(tensor.storage)
    if stored:
        return stored
    return "int4" if tensor.bits < 6 or tensor.name.endswith(_PACKED_ENDS) else "int8"
