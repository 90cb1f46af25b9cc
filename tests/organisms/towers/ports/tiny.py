"""Models of a few thousand numbers with their tokenizers and processors, written to disk."""

import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel

BYTES = sorted(ByteLevel.alphabet())
START, END = "<|startoftext|>", "<|endoftext|>"
SMALL = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}>{% endif %}"


def randomised(model):
    """A model whose every parameter is drawn from one stream, so that no bias is zero and no norm trivial."""
    source = torch.Generator().manual_seed(0)
    for each in model.parameters():
        each.data = torch.randn(each.shape, generator=source).mul_(0.3)
    return model.eval()


def save_qwen(folder, kind="Qwen2", template=TEMPLATE):
    settings = getattr(transformers, f"{kind}Config")(
        vocab_size=300,
        hidden_size=16,
        num_key_value_heads=1,
        max_position_embeddings=24,
        head_dim=8,
        **SMALL,
    )
    model = randomised(getattr(transformers, f"{kind}ForCausalLM")(settings))
    words = transformers.Qwen2Tokenizer(vocab={each: n for n, each in enumerate(BYTES)}, merges=[])
    words.chat_template = template
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return model.model, words


def save_dino(folder, kind="Dinov2"):
    settings = getattr(transformers, f"{kind}Config")(hidden_size=16, image_size=32, patch_size=8, **SMALL)
    bare = {"add_pooling_layer": False} if kind == "ViT" else {}
    model = randomised(getattr(transformers, f"{kind}Model")(settings, **bare))
    processor = (
        transformers.ViTImageProcessorPil(size={"height": 32, "width": 32})
        if kind == "ViT"
        else transformers.BitImageProcessorPil(
            size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
        )
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def save_clip(folder):
    ends = [f"{each}</w>" for each in BYTES]
    vocabulary = {each: n for n, each in enumerate([*BYTES, *ends, START, END])}
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "max_position_embeddings": 16,
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
    }
    vision = {"hidden_size": 24, "image_size": 32, "patch_size": 8}
    settings = transformers.CLIPConfig(
        text_config=text | SMALL, vision_config=vision | SMALL, projection_dim=12
    )
    model = randomised(transformers.CLIPModel(settings))
    pictures = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    words = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], padding_side="left")
    model.save_pretrained(folder)
    transformers.CLIPProcessor(pictures, words).save_pretrained(folder)
    return model, pictures, words


def save_vae(folder, shift=None):
    from diffusers import AutoencoderKL  # takes seconds, which only those who use it should wait

    model = randomised(
        AutoencoderKL(
            block_out_channels=(8, 16),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            latent_channels=4,
            layers_per_block=1,
            scaling_factor=0.3,
            shift_factor=shift,
        )
    )
    model.save_pretrained(folder)
    return model


def picture(seed=0, height=40, width=52):
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
