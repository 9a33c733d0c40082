"""LoRA adapters as options of engines."""

from advisor.codegen.container import Container
from advisor.codegen.engines.request import AdapterPlan, Request, refusal
from advisor.models.adapter_values import ALL
from advisor.models.adapters import MODULES, adapter_engine

_SHOWN = 4


def vllm_arguments(request: Request, engine: str) -> tuple[str, ...]:
    """Slots of vLLM on the accelerators and in host memory; none without adapters."""
    adapters = request.demand.adapters
    if adapters is None:
        return ()
    return (
        "--enable-lora",
        f"--max-loras={adapters.slots}",
        f"--max-lora-rank={_rank(request, adapters, engine)}",
        f"--max-cpu-loras={adapters.count}",
    )


def sglang_arguments(request: Request, engine: str) -> tuple[str, ...]:
    """Slots of SGLang, with the modules that they hold; none without adapters."""
    adapters = request.demand.adapters
    if adapters is None:
        return ()
    slots = adapter_engine(engine).slots_for(adapters.slots)
    return (
        "--enable-lora",
        f"--max-loras-per-batch={slots}",
        f"--max-loaded-loras={max(adapters.count, slots)}",
        f"--max-lora-rank={_rank(request, adapters, engine)}",
        "--lora-target-modules",
        # Its "all" would make slots of embeddings and output head too.
        *(MODULES if ALL in adapters.target_modules else adapters.target_modules),
    )


def without_adapters(request: Request, engine: str) -> None:
    """Refuse adapters on an engine that serves none.

    Raises:
        InputError: with the reason of the catalog.
    """
    if request.demand.adapters is not None:
        raise refusal(
            request.serves, f"{engine}: {adapter_engine(engine).reason}", "--engine vllm serves LoRA adapters"
        )


def adapter_words(adapters: AdapterPlan, container: Container) -> str:
    """Words on how clients ask for an adapter, and where its weights have to be."""
    if not container.adapter_option:
        return ""
    if not adapters.named:
        return (
            f"the plan counts {adapters.count} LoRA adapters and names none, so that none is started: name them under "
            f"adapters in the workload file, or give extra_serving_arguments {container.adapter_option} and a word "
            "NAME=ORGANISATION/ADAPTER for each; requests then give a NAME as their model"
        )
    names = ", ".join(f'"model": "{adapter.name}"' for adapter in adapters.named[:_SHOWN])
    more = f" and {len(adapters.named) - _SHOWN} more" if len(adapters.named) > _SHOWN else ""
    words = (
        f"requests for a LoRA adapter give its name as their model: {names}{more}; by that of the model they get the "
        "base. Where the weights come from a bucket or a folder, each adapter lies beside them under its own name"
    )
    local = [adapter.id for adapter in adapters.named if not adapter.on_hub]
    if local:
        words += f"; the hub has no {', '.join(local[:_SHOWN])}, so that model_source has to be one of these"
    return words


def _rank(request: Request, adapters: AdapterPlan, engine: str) -> int:
    """Rank that slots are made for.

    Raises:
        InputError: the engine serves no adapters, or none of this rank.
    """
    served = adapter_engine(engine)
    if not served.is_supported:
        without_adapters(request, engine)
    if served.most_rank is not None and adapters.rank > served.most_rank:
        problem = f"{engine} takes adapters up to rank {served.most_rank}, and these have rank {adapters.rank}"
        raise refusal(request.serves, problem)
    return served.started_rank(adapters.rank)
