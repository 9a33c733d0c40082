"""Verdict of the plan's own predicate on instances that code is generated for."""

from advisor.catalog import load_catalog
from advisor.catalog.deployment import GENERATED
from advisor.codegen.container import Serves
from advisor.deployable import Setup, deployable
from advisor.errors import NotDeployable
from advisor.workload.kinds import LLAMA_CPP

HINT = "take another option of the plan with --option RANK, or make the plan again"


def check_deployable(serves: Serves, engine: str = "") -> None:
    """Refuse instances that generated code cannot start.

    Args:
        serves: how an instance serves.
        engine: as engine_support.csv names it; "": an image of the user's own.

    Raises:
        NotDeployable: the message says what is missing, with the numbers compared.
    """
    catalog = load_catalog()
    setup = Setup(
        provider=serves.provider,
        instance_type=serves.instance_type,
        accelerator=serves.accelerator,
        partition=serves.partition,
        replicas_per_instance=serves.replicas_per_instance,
        precision=serves.precision,
        engine=engine,
        checkpoint_gib=serves.checkpoint_gib,
        converted_gib=converted_gib(serves) if engine == serves.engine else 0.0,
        loading_gib=_loading_gib(serves, engine),
        accelerator_gib=_accelerator_gib(serves),
    )
    shortfall = deployable(setup, serves.purchase, serves.region, catalog)
    if shortfall is not None:
        raise NotDeployable(f"{serves.instance_type}: {shortfall.reason}", hint=HINT)


def converted_gib(serves: Serves) -> float:
    """Published weights that llama.cpp makes a GGUF of at its first start; 0 where the file is there."""
    is_converted = serves.engine == LLAMA_CPP and bool(serves.weights)
    return max(serves.checkpoint_gib - serves.weights_gib, 0.0) if is_converted else 0.0


def _accelerator_gib(serves: Serves) -> float | None:
    """Memory of the accelerator, or of the slice of it, that a rank has; None: not known."""
    catalog = load_catalog()
    if serves.partition:
        slices = catalog.partitions(serves.accelerator)
        return next((profile.memory_gib for profile in slices if profile.name == serves.partition), None)
    accelerator = catalog.accelerators.get(serves.accelerator)
    return None if accelerator is None else accelerator.memory_gib


def _loading_gib(serves: Serves, engine: str) -> float | None:
    """Memory for loading, as planned; of an engine that quantises while loading, its share of the download."""
    if engine == serves.engine:
        return serves.loading_gib
    if not load_catalog().is_made_while_loading(serves.precision, engine):
        return None
    return serves.checkpoint_gib / (serves.tensor_parallel * serves.pipeline_parallel)


def family_of(provider: str, instance_type: str) -> str:
    """The key under which the machine images and quotas of an instance type stand.

    Raises:
        NotDeployable: no code is generated for the type; the message says why.
    """
    support = load_catalog().deployment.support(provider, instance_type)
    if support is None:
        raise NotDeployable(f"{instance_type}: no machine image is known for this family", hint=HINT)
    if support.status != GENERATED:
        raise NotDeployable(f"{instance_type}: {support.reason}", hint=HINT)
    return support.family
