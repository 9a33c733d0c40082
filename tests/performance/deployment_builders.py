"""Deployments with defaults: an 8-billion-parameter dense model in bf16 on one H100, by hand and round numbers."""

import itertools
from dataclasses import replace
from functools import cache

from advisor.catalog import load_catalog
from advisor.catalog.values import Accelerator, Provenance, Quality
from advisor.models.values import ServingShape
from advisor.performance import Deployment
from advisor.performance import deployments as packing
from advisor.performance.calibration import shipped
from advisor.performance.setups import Resolved, Setup, resolve

GIB = 1024**3
MODELS = (
    "meta-llama/Meta-Llama-3.1-8B",
    "mistralai/Mixtral-8x7B-v0.1",
    "google/gemma-3-12b-it",
    "deepseek-ai/DeepSeek-R1",
    "Qwen/Qwen3-0.6B",
)
"""Dense, of experts, with windows, with a latent cache, and small."""


def make_shape(**changes):
    """A dense decoder like Llama-3.1-8B."""
    shape = ServingShape(
        params_total=8.0e9,
        params_active=8.0e9,
        n_layers=32,
        hidden=4096,
        vocab=128_000,
        tied_embeddings=False,
        n_heads=32,
        n_kv_heads=8,
        n_experts=0,
        experts_per_token=0,
        expert_params=0.0,
        moe_layers=0,
        is_mla=False,
        kv_elements_per_token=65_536,
        window_tokens=0,
        window_kv_share=0.0,
        attention_width=131_072.0,
        max_context_tokens=131_072,
        flop_per_sample=None,
    )
    return replace(shape, **changes)


def make_accelerator(**changes):
    """An accelerator like the H100-SXM."""
    accelerator = Accelerator(
        name="H100-SXM",
        vendor="nvidia",
        architecture="Hopper",
        compute_capability=9.0,
        memory_gib=79.2,
        memory_bandwidth_gb_per_second=3350.0,
        fp32_tflops=67.0,
        fp16_tflops=989.0,
        fp8_tflops=1979.0,
        int8_tops=1979.0,
        fp4_tflops=None,
        link_gb_per_second=450.0,
        link_kind="nvlink4",
        tdp_watts=700.0,
        launch_year=2022,
        provenance=Provenance("made up for a test", "2026-11-24", Quality.RECALLED),
    )
    return replace(accelerator, **changes)


def make_deployment(**changes):
    """One replica on one accelerator, served by vLLM with 50 GiB of KV cache."""
    deployment = Deployment(
        shape=make_shape(),
        accelerator=make_accelerator(),
        weight_bytes=16.0e9,
        compute_precision="bf16",
        kv_bytes_per_element=2.0,
        kv_cache_bytes=50.0 * GIB,
        engine="vLLM",
        engine_version="0.19",
    )
    return replace(deployment, **changes)


def pack(deployments):
    """Arrays of deployments, with the shipped constants."""
    return packing.pack(deployments, shipped().constants)


@cache
def catalogued():
    """Set-ups that work of a few models on every accelerator of the catalog."""
    catalog = load_catalog()
    named = itertools.product(MODELS, catalog.accelerators, (1, 4, 8), ("", "fp8"))
    found = (
        resolve(Setup(model, part, count, precision=precision), catalog) for model, part, count, precision in named
    )
    return [setup for setup in found if isinstance(setup, Resolved)]
