"""Video-language models of transformers, small and with random weights, with their processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from temporal.backbones.processors import processor_class
from temporal.backbones.video_language import language_processor_class

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'video' %}VIDEO"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = {
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096},
}
_MADE: dict[str, tuple[Any, Any]] = {}


def tokenizer(specials: dict[str, str]) -> PreTrainedTokenizerFast:
    """Bytes as tokens, and the special ones of a family as `<name>_token`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={one: k for k, one in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
        extra_special_tokens=specials,
    )


def _qwen(name: str, vision: dict[str, Any], rope: dict[str, Any]) -> tuple[Any, Any]:
    words = tokenizer(
        {
            **{"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
            **{"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"},
        }
    )
    ids = {
        f"{part}_token_id": words.convert_tokens_to_ids(
            words.init_kwargs["extra_special_tokens"][f"{part}_token"]
        )
        for part in ("image", "video", "vision_start", "vision_end")
    }
    family = {"Qwen2VL": "Qwen2VL", "Qwen2_5_VL": "Qwen2VL", "Qwen3VL": "Qwen3VL"}[name]
    patch = vision["patch_size"]
    size = {"shortest_edge": 1, "longest_edge": 64 * 64 * (8 if name == "Qwen3VL" else 1)}
    settings = {"size": size, "patch_size": patch, "cap_pixels_per_frame": False}
    videos = processor_class(f"{family}VideoProcessor")(**settings)
    images = processor_class("Qwen2VLImageProcessor")(patch_size=patch, size=size)
    inside = "<|vision_start|><|video_pad|><|vision_end|>"
    inside = "<|video_pad|>" if name == "Qwen3VL" else inside
    processor = language_processor_class(f"{name}Processor")(
        images, words, videos, chat_template=CHAT.replace("VIDEO", inside)
    )
    config = getattr(transformers, f"{name}Config")(
        text_config={**_TEXT, "vocab_size": len(words), **rope}, vision_config=vision, **ids
    )
    return getattr(transformers, f"{name}ForConditionalGeneration")(config), processor


def _qwen2_vl() -> tuple[Any, Any]:
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8}
    rope = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    return _qwen("Qwen2VL", vision, rope)


def _qwen2_5_vl() -> tuple[Any, Any]:
    vision = {
        **{"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 8, "out_hidden_size": 32},
        **{"intermediate_size": 48, "window_size": 32, "fullatt_block_indexes": [1]},
    }
    rope = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    return _qwen("Qwen2_5_VL", vision, rope)


def _qwen3_vl() -> tuple[Any, Any]:
    vision = {
        **{"depth": 2, "hidden_size": 32, "num_heads": 2, "patch_size": 8, "out_hidden_size": 32},
        **{"intermediate_size": 48, "deepstack_visual_indexes": [0]},
        "num_position_embeddings": 64,
    }
    rope = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}, "head_dim": 8}
    return _qwen("Qwen3VL", vision, rope)


def _smolvlm2() -> tuple[Any, Any]:
    from transformers.models.smolvlm import processing_smolvlm

    if processing_smolvlm.num2words is None:  # a package that transformers asks for
        processing_smolvlm.num2words = str
    words = tokenizer(
        {
            **{"image_token": "<image>", "video_token": "<video>"},
            **{
                "fake_image_token": "<fake_token_around_image>",
                "global_image_token": "<global-img>",
            },
            "end_of_utterance_token": "<end_of_utterance>",
        }
    )
    edge = {"longest_edge": 32}
    videos = processor_class("SmolVLMVideoProcessor")(size=edge, max_image_size=edge)
    images = processor_class("SmolVLMImageProcessor")(size=edge, max_image_size=edge)
    processor = language_processor_class("SmolVLMProcessor")(
        images, words, videos, image_seq_len=4, chat_template=CHAT.replace("VIDEO", "<video>")
    )
    config = transformers.SmolVLMConfig(
        text_config={**_TEXT, "model_type": "llama", "vocab_size": len(words), "pad_token_id": 0},
        vision_config={
            **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1},
            **{"num_attention_heads": 2, "image_size": 32, "patch_size": 8},
        },
        scale_factor=2,
        image_token_id=words.convert_tokens_to_ids("<image>"),
        pad_token_id=words.pad_token_id,
    )
    return transformers.SmolVLMForConditionalGeneration(config), processor


def _llava_onevision() -> tuple[Any, Any]:
    words = tokenizer({"image_token": "<image>", "video_token": "<video>"})
    size = {"height": 32, "width": 32}
    processor = language_processor_class("LlavaOnevisionProcessor")(
        processor_class("LlavaOnevisionImageProcessor")(size=size),
        words,
        processor_class("LlavaOnevisionVideoProcessor")(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=CHAT.replace("VIDEO", "<video>"),
    )
    config = transformers.LlavaOnevisionConfig(
        text_config={**_TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            **{"model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48},
            **{"num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8},
            "vision_use_head": False,
        },
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_token_id=words.convert_tokens_to_ids("<image>"),
        video_token_id=words.convert_tokens_to_ids("<video>"),
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def _internvl() -> tuple[Any, Any]:
    words = tokenizer(
        {
            **{"start_image_token": "<img>", "end_image_token": "</img>"},
            **{"context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"},
        }
    )
    size = {"height": 32, "width": 32}
    processor = language_processor_class("InternVLProcessor")(
        processor_class("GotOcr2ImageProcessor")(size=size),
        words,
        processor_class("InternVLVideoProcessor")(size=size),
        image_seq_length=4,
        chat_template=CHAT.replace("VIDEO", "<video>"),
    )
    config = transformers.InternVLConfig(
        text_config={**_TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        vision_config={
            **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1},
            **{"num_attention_heads": 2, "image_size": [32, 32], "patch_size": [8, 8]},
        },
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    return transformers.InternVLForConditionalGeneration(config), processor


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "Qwen2-VL": _qwen2_vl,
    "Qwen2.5-VL": _qwen2_5_vl,
    "Qwen3-VL": _qwen3_vl,
    "SmolVLM2": _smolvlm2,
    "LLaVA-OneVision": _llava_onevision,
    "InternVL": _internvl,
}


def family(name: str) -> tuple[Any, Any]:
    """A model and its processor, made once; nobody may change them."""
    if name not in _MADE:
        torch.manual_seed(0)
        model, processor = FAMILIES[name]()
        model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
        _MADE[name] = model.eval(), processor
    return _MADE[name]
