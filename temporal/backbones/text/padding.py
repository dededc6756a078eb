"""Which classifiers of transformers answer the same with padding after a text as without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MASKS_PADDING = frozenset(
    """
    albert arcee axk1 axk2 bart bert biogpt bloom camembert cohere_compass_text ctrl
    data2vec-text deberta deberta-v2 deepseek_v2 deepseek_v3 diffllama distilbert doge electra
    ernie esm esmc eurobert exaone4 falcon flaubert gemma gemma2 gemma3 gemma3_text glm glm4
    gpt-sw3 gpt2 gpt_bigcode gpt_neo gpt_neox gpt_oss gptj gte helium hunyuan_v1_dense
    hunyuan_v1_moe jamba jetmoe jina_embeddings_v3 layoutlm layoutlmv3 lilt llama longformer
    luke markuplm mbart megatron-bert minicpm3 minimax ministral ministral3 mistral mistral4
    mixtral modernbert modernbert-decoder modernvbert mpnet mpt mt5 mvp nemotron nomic_bert olmo
    olmo2 olmo3 openai-gpt opt perceiver persimmon phi phi3 phimoe plbart qwen2 qwen2_moe qwen3
    qwen3_5 qwen3_5_text qwen3_moe qwen3_next rembert roberta roberta-prelayernorm roc_bert
    roformer seed_oss smollm3 squeezebert stablelm starcoder2 t5 tapas ultrabert ultravbert umt5
    xlm xlm-roberta xlm-roberta-xl xmod zamba zamba2
    """.split()  # noqa: SIM905  # a hundred names, one a line, hide the rest of the file
)
"""Families (`model_type`) whose own classifiers do, exactly. The tests compare all that there are.

Not among them: convolutions and mixing over places (CANINE, ConvBERT, FNet, Funnel, MobileBERT,
Nystromformer, MRA, YOSO), answers at the end of the padding (XLNet, T5Gemma), and attention whose
kind or hashes depend on the longest text (BigBird, Reformer). Nor I-BERT, whose scales may."""

_ROTATIONS_BY_LENGTH = {"dynamic", "longrope"}
"""Kinds of rotary places that depend on the longest text of a batch."""


def padding_id(model: Any) -> int | None:
    """The id to pad texts with, after their end, for a classifier that masks padding; else None.

    Classifiers that pool the last token find it by their configuration's padding id, and take no
    batch without one.
    """
    if not type(model).__module__.startswith("transformers."):
        return None  # of this name, and perhaps of another kind
    if model.config.model_type not in MASKS_PADDING:
        return None
    config = model.config.get_text_config()
    if _ROTATIONS_BY_LENGTH & set(_rotations(getattr(config, "rope_parameters", None))):
        return None
    padding = getattr(config, "pad_token_id", None)
    if padding is None or not 0 <= padding < _num_words(model):
        return None
    return padding


def _num_words(model: Any) -> int:
    try:
        return model.get_input_embeddings().weight.shape[0]
    except (AttributeError, NotImplementedError):
        return getattr(model.config.get_text_config(), "vocab_size", 0)


def _rotations(parameters: Any) -> Iterator[str]:
    """The kinds of rotary places; some models have one for each kind of layer."""
    if isinstance(parameters, dict):
        yield str(parameters.get("rope_type"))
        for inner in parameters.values():
            yield from _rotations(inner)
