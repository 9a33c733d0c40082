"""A model as the performance part wants it: a few numbers."""

from functools import lru_cache

from advisor.models.kv_cache import cache_kinds, kv_elements_per_token
from advisor.models.model import Model
from advisor.models.values import ServingShape


@lru_cache(maxsize=4096)
def serving_shape(model: Model) -> ServingShape:
    """Reduce *model* to the numbers that decide memory traffic, FLOPs and communication."""
    elements = kv_elements_per_token(model)
    windowed = [kind for kind in cache_kinds(model) if kind.window_tokens]
    windowed_elements = sum(kind.layers * kind.elements_per_token for kind in windowed)
    mixtures = [(layer.feed_forward, count) for layer, count in model.layers if layer.feed_forward]
    mixtures = [(network, count) for network, count in mixtures if network.experts]
    largest = max((network for network, _ in mixtures), key=lambda network: network.expert_parameters, default=None)
    return ServingShape(
        params_total=float(model.parameters_total),
        params_active=float(model.parameters_active),
        n_layers=model.n_layers,
        hidden=model.hidden,
        vocab=model.vocab,
        tied_embeddings=model.tied_embeddings,
        n_heads=model.n_heads,
        n_kv_heads=model.n_kv_heads,
        n_experts=largest.experts if largest else 0,
        experts_per_token=largest.experts_per_token if largest else 0,
        expert_params=float(largest.expert_parameters) if largest else 0.0,
        moe_layers=sum(count for _, count in mixtures),
        is_mla=model.is_latent,
        kv_elements_per_token=elements,
        window_tokens=max((kind.window_tokens for kind in windowed), default=0),
        window_kv_share=windowed_elements / elements if elements else 0.0,
        attention_width=float(_attention_width(model)),
        max_context_tokens=model.max_context_tokens,
        flop_per_sample=model.flop_per_sample,
    )


def _attention_width(model: Model) -> int:
    """Sum of heads × head dimension over the layers whose work grows with the context."""
    return sum(
        layer.mixer.width * count for layer, count in model.layers if layer.mixer and not layer.mixer.state_bytes
    )
