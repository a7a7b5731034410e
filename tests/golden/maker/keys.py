"""State-dict keys and shapes of the published models, without any weights."""

import re

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel
from transformers import T5Config, T5EncoderModel

from . import t5
from .store import Case, plain_config

ROPE = dict(use_rotary_positional_embeddings=True)
LARGE = dict(num_attention_heads=48, num_layers=42, **ROPE)
V15 = dict(LARGE, patch_size_t=2, patch_bias=False, sample_height=96, sample_width=170, sample_frames=81)
TRANSFORMERS = {
    "transformer_2b": {},
    "transformer_5b": LARGE,
    "transformer_5b_i2v": dict(LARGE, in_channels=32, use_learned_positional_embeddings=True),
    "transformer_15_5b": V15,
    "transformer_15_5b_i2v": dict(V15, in_channels=32, ofs_embed_dim=512),
}
XXL = dict(d_model=4096, d_kv=64, num_heads=64, d_ff=10240, num_layers=24, vocab_size=32128)

# tensors, parameters
PUBLISHED = {
    "transformer_2b": (736, 1_693_783_872), "transformer_5b": (1024, 5_570_283_072),
    "transformer_5b_i2v": (1025, 5_625_087_552), "transformer_15_5b": (1024, 5_570_676_352),
    "transformer_15_5b_i2v": (1028, 5_571_594_880), "vae": (436, 215_583_907), "text_encoder": (219, 4_762_310_656),
}
NAMES = ["keys"]
BLOCK = re.compile(r"^(transformer_blocks|encoder\.block)\.(\d+)\.(.*)$")


def fold(shapes: dict[str, list[int]]) -> dict:
    """Blocks that are alike are listed once. What only some of them have stays in the plain list."""
    blocks: dict[str, dict[int, dict[str, list[int]]]] = {}
    plain = {}
    for key, shape in shapes.items():
        match = BLOCK.match(key)
        if match:
            blocks.setdefault(match[1], {}).setdefault(int(match[2]), {})[match[3]] = shape
        else:
            plain[key] = shape
    repeated = []
    for prefix, members in blocks.items():
        common = dict(members[max(members)])
        for number, block in members.items():
            for key, shape in block.items():
                if key not in common:
                    plain[f"{prefix}.{number}.{key}"] = shape
            if any(block.get(key) != shape for key, shape in common.items()):
                raise AssertionError(f"{prefix}.{number} is not like the others")
        if sorted(members) != list(range(len(members))):
            raise AssertionError(f"{prefix}: blocks are missing")
        repeated.append({"prefix": prefix, "count": len(members), "keys": common})
    return {"keys": plain, "blocks": repeated}


def numel(shape) -> int:
    return int(torch.Size(shape).numel())


def make(name: str) -> Case:
    case = Case(name, "keys", "keys and shapes of the published models; a block is listed once, with their number")
    with torch.device("meta"):
        models = {n: CogVideoXTransformer3DModel(**config) for n, config in TRANSFORMERS.items()}
        models["vae"] = AutoencoderKLCogVideoX(scaling_factor=0.7)
        models["text_encoder"] = T5EncoderModel(T5Config(**{**t5.COMMON, **XXL}))
    listed = {}
    for model_name, model in models.items():
        shapes = {k: list(v.shape) for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}
        counts = len(shapes), sum(numel(shape) for shape in shapes.values())
        if counts != PUBLISHED[model_name]:
            raise AssertionError(f"{model_name}: {counts} tensors and parameters instead of {PUBLISHED[model_name]}")
        config = t5.plain_config(XXL) if model_name == "text_encoder" else plain_config(model)
        listed[model_name] = {"config": config, "tensors": counts[0], "parameters": counts[1], **fold(shapes)}
    return case.set(models=listed)
