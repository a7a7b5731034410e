"""T5EncoderModel (v1.1): position bias, the input embedding, every block, the output."""

import torch
from transformers import T5Config, T5EncoderModel

from . import filler, reference
from .store import Case

COMMON = dict(vocab_size=100, dropout_rate=0.1, feed_forward_proj="gated-gelu", layer_norm_epsilon=1e-6,
              tie_word_embeddings=False, is_encoder_decoder=True, pad_token_id=0, eos_token_id=1)
SHORT = [71, 30, 98, 6, 21, 45, 16, 17, 5, 1] + [0] * 10  # a padded prompt: padding takes part like any other token
LONG = [(7 * i + 3) % 100 for i in range(226)]            # reaches the last logarithmic buckets

CASES = {
    "t5_square": ("inner width equal to d_model", dict(d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=3)),
    "t5_narrow": ("inner width below d_model, 16 buckets up to distance 40, another eps",
                  dict(d_model=48, d_kv=16, num_heads=2, d_ff=40, num_layers=2, relative_attention_num_buckets=16,
                       relative_attention_max_distance=40, layer_norm_epsilon=1e-3)),
}
NAMES = list(CASES)


def build(config: dict, run: str, rounded: bool = True):
    model = T5EncoderModel(T5Config(**{**COMMON, **config})).eval().to(reference.dtype_of(run))
    filler.fill_module(model, rounded)
    # The state dict lists the embedding under two names; the encoder must see the one that is on disk.
    table = filler.parameter("shared.weight", model.shared.weight.shape)
    table = table.astype("float32") if rounded else table
    with torch.no_grad():
        model.shared.weight.copy_(torch.from_numpy(table))
        model.encoder.embed_tokens.weight.copy_(torch.from_numpy(table))
    return model


def evaluate(config: dict, ids: list[int], run: str, rounded: bool = True) -> dict[str, torch.Tensor]:
    seen = {}
    with reference.patched(run):
        model = build(config, run, rounded)
        for i, block in enumerate(model.encoder.block):
            block.register_forward_hook(
                lambda m, a, out, i=i: seen.__setitem__(f"block{i}", out[0] if isinstance(out, tuple) else out))
        seen["embedding"] = model.shared(torch.tensor([ids]))
        attention = model.encoder.block[0].layer[0].SelfAttention
        seen["position_bias"] = attention.compute_bias(len(ids), len(ids))
        seen["out"] = model(torch.tensor([ids]))[0]
    return {name: tensor.detach().clone() for name, tensor in seen.items()}


def plain_config(config: dict) -> dict:
    """text_encoder/config.json with the fields that mean something to an encoder."""
    full = T5Config(**{**COMMON, **config}).to_dict()
    fields = ("d_model", "d_kv", "num_heads", "d_ff", "num_layers", "vocab_size", "relative_attention_num_buckets",
              "relative_attention_max_distance", "layer_norm_epsilon", "feed_forward_proj", "dropout_rate",
              "pad_token_id", "eos_token_id", "is_encoder_decoder")
    return {"architectures": ["T5EncoderModel"], "model_type": "t5", **{f: full[f] for f in fields}}


def make(name: str) -> Case:
    about, config = CASES[name]
    case = Case(name, "t5", about).set(config=plain_config(config), call={"short": SHORT, "long": LONG})
    buckets = T5EncoderModel(T5Config(**{**COMMON, **config})).encoder.block[0].layer[0].SelfAttention
    offsets = torch.arange(-len(LONG) + 1, len(LONG))
    case.add("buckets", buckets._relative_position_bucket(
        offsets, num_buckets=buckets.relative_attention_num_buckets,
        max_distance=buckets.relative_attention_max_distance).to(torch.int32),
        "relative position bucket of key - query = -225 .. 225")
    for label, ids in (("short", SHORT), ("long", LONG)):
        values, single = evaluate(config, ids, "f64"), evaluate(config, ids, "f32")
        for tensor_name, tensor in values.items():
            if label == "long" and tensor_name in ("position_bias", "embedding"):
                continue  # gathers of given weights; the bucket table says the same
            what = {"position_bias": "added to the attention scores [1, heads, S, S]", "embedding": "[1, S, d_model]",
                    "out": "after the final norm [1, S, d_model]"}.get(tensor_name, "residual stream after the block")
            case.add(f"{label}.{tensor_name}", tensor, what, runs={"f32": single[tensor_name]})
    return case


def check_published() -> None:
    config = CASES["t5_square"][1]
    for ids, expected in ((SHORT, (-50.250598, 512.01854, 0.6382903, -0.6607113)),
                          (LONG, (42.400976, 5890.1395, -0.9502166, 1.5155629))):
        out = evaluate(config, ids, "f64", rounded=False)["out"].flatten()
        got = (out.sum(), out.abs().sum(), out[0], out[-1])
        for g, e in zip(got, expected, strict=True):
            if abs(float(g) - e) > 2e-7 * max(1.0, abs(e)):
                raise AssertionError(f"tiny T5: {float(g)} instead of {e}")
