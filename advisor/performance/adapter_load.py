"""LoRA adapters of a model as the load that they are on a deployment."""

from advisor.models.adapters import adapter_engine, slot_bytes
from advisor.models.model import Model
from advisor.performance.values import AdapterLoad


def adapter_load(model: Model, engine: str, tensor_parallel: int) -> AdapterLoad | None:
    """Load of a model's adapters; None where there are none.

    Kernels read a slot of the largest rank of the engine, whatever rank an adapter in it has.

    Args:
        model: with its adapters.
        engine: as engine_support.csv names it.
        tensor_parallel: accelerators that share each layer.
    """
    adapters = model.adapters
    if adapters is None:
        return None
    served = adapter_engine(engine)
    return AdapterLoad(
        count=adapters.count,
        bytes_per_accelerator=slot_bytes(model, served, tensor_parallel),
        step_ratio=served.step_ratio,
        miss_ratio=adapters.miss_ratio,
    )
