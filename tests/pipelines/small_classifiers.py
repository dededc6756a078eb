"""A small random classifier of every family that transformers lists for sequences."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

FAMILIES = sorted(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
VOCAB_SIZE = 100

_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    "head_dim": 8,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 96,
    "n_inner": 48,
    "emb_dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "dim": 32,
    "hidden_dim": 48,
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "d_inner": 48,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "max_seq_len": 96,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "embedding_size": 32,
    "dff": 48,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "cls_token_id": 2,
    "eos_token_id": 3,
    "sep_token_id": 3,
}
_LATENT = {  # attention with compressed keys, as in DeepSeek
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "qk_head_dim": 16,
    "v_head_dim": 8,
    "head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
}
_LINEAR = {"num_hidden_layers": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
_LINEAR |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8}
_OWN: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 10000.0}
            for kind in ("sliding_attention", "full_attention")
        },
    },
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "mamba_dt_rank": 4},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6, "visual_embed": False},
    "lilt": {"hidden_size": 48},
    "perceiver": {
        "num_latents": 4,
        "d_latents": 16,
        "num_blocks": 1,
        "num_self_attends_per_block": 1,
        "num_self_attention_heads": 2,
        "num_cross_attention_heads": 2,
    },
    "qwen3_next": _LINEAR,
    "qwen3_5_text": _LINEAR,
    "axk2": _LATENT,
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "minicpm3": _LATENT,
    "mistral4": {**_LATENT, "head_dim": None, "qk_head_dim": None},
    "esm": {"mask_token_id": 4, "token_dropout": True},
    "esmc": {"num_key_value_heads": 4},
    "falcon": {"head_dim": None},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 1], "d_head": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "gptj": {"rotary_dim": 4},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 16},
    "longformer": {"attention_window": [8, 8]},
    "modernbert": {"local_attention": 16, "num_hidden_layers": 3},
    "modernbert-decoder": {"local_attention": 16, "num_hidden_layers": 3},
    "reformer": {
        "axial_pos_shape": [8, 16],
        "axial_pos_embds_dim": [16, 16],
        "max_position_embeddings": 128,
        "attention_head_size": 8,
        "lsh_attn_chunk_length": 8,
        "local_attn_chunk_length": 8,
        "num_buckets": 4,
    },
    "roc_bert": {"pronunciation_vocab_size": 100, "shape_vocab_size": 100},
    "t5": {"decoder_start_token_id": 0},
    "xlnet": {"max_position_embeddings": None, "n_layer": 2},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_hidden_layers": 4,
        "attention_head_dim": 16,
        "head_dim": None,
        "mamba_dt_rank": 4,
        "num_key_value_heads": 4,
    },
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_hidden_layers": 4,
        "head_dim": None,
        "attention_head_dim": 16,
        "num_key_value_heads": 4,
        "mamba_d_state": 8,
        "chunk_size": 8,
        "adapter_rank": 4,
    },
}


def small_classifier(family: str, **fields: Any) -> Any:
    """A random classifier with three labels, whose labels tell its texts apart.

    Args:
        family: its `model_type`.
        **fields: of its configuration.
    """
    config_class = CONFIG_MAPPING[family]
    config = config_class(**{**_small(config_class(), family), "num_labels": 3, **fields})
    torch.manual_seed(0)
    return louder(AutoModelForSequenceClassification.from_config(config)).eval()


def _small(standard: Any, family: str) -> dict[str, Any]:
    """Small values for the fields of a configuration and of those inside it."""
    own = {name: value for name, value in _SIZES.items() if hasattr(standard, name)}
    for name in getattr(standard, "sub_configs", None) or ():
        inner = getattr(standard, name, None)
        if inner is not None:
            own[name] = _small(inner, inner.model_type)
    own |= _OWN.get(family, {})
    return {name: value for name, value in own.items() if value is not None}


def louder(model: Any) -> Any:
    """Larger weights, so that answers differ from text to text."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # padding's embedding too: trained ones are not zero
                parameter.normal_(std=0.15)
    return model
