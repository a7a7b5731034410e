"""CogVideoXTransformer3DModel: patch embedding, time embedding, both streams after every block, output."""

import types

import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

from . import filler, reference
from .store import Case, plain_config

VAE_FACTOR = 8  # only to ask the pipeline for the RoPE tables of a latent size

# Small, odd where the architecture allows it, and no two sizes alike, so that a swapped axis shows.
SMALL = dict(
    text_embed_dim=20, time_embed_dim=24, max_text_seq_length=7, sample_height=6, sample_width=10, sample_frames=9,
    num_layers=3,
)
ROPE = dict(use_rotary_positional_embeddings=True)
TIMES = [999, 19]  # 999: where the library's float32 sinusoid is furthest from the exact one (`tables` in case.json)
LOW_TIMES = [7, -1]  # tables hardly matter; -1 is what some step counts really pass on

# name -> (about, config, latent frames, latent height, latent width, call)
CASES = {
    "transformer_2b": (
        "sin-cos table (CogVideoX-2b)",
        dict(SMALL, num_attention_heads=3, attention_head_dim=16), 3, 6, 10, {}),
    "transformer_5b": (
        "RoPE, native grid (CogVideoX-5b)",
        dict(SMALL, **ROPE, num_attention_heads=3, attention_head_dim=32), 3, 6, 10, {}),
    "transformer_5b_i2v": (
        "RoPE and learned table (CogVideoX-5b-I2V)",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=48, in_channels=32,
             use_learned_positional_embeddings=True), 3, 6, 10, {}),
    "transformer_15": (
        "patches over two frames, integer RoPE grid smaller than the sample size (CogVideoX1.5-5B)",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=64, patch_size_t=2, patch_bias=False,
             sample_height=10, sample_width=14), 4, 6, 10, {}),
    "transformer_15_i2v": (
        "as transformer_15, with the offset embedding (CogVideoX1.5-5B-I2V)",
        dict(SMALL, **ROPE, num_attention_heads=3, attention_head_dim=32, patch_size_t=2, patch_bias=False,
             in_channels=32, ofs_embed_dim=24, sample_height=10, sample_width=14), 4, 4, 14, dict(ofs=2.0)),
    "transformer_2b_other_grid": (
        "sin-cos table recomputed for a size and frame count other than the sample's",
        dict(SMALL, num_attention_heads=3, attention_head_dim=16, num_layers=1), 5, 10, 4, dict(timestep=LOW_TIMES)),
    "transformer_5b_tall": (
        "RoPE crop region, taller than the sample: the columns are cropped",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=16, num_layers=1), 2, 14, 6,
        dict(timestep=LOW_TIMES)),
    "transformer_5b_wide": (
        "RoPE crop region, wider than the sample: the rows are cropped",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=16, num_layers=1), 5, 4, 18,
        dict(timestep=LOW_TIMES)),
    "transformer_variant_plain": (
        "no attention bias, norms without weights, another norm_eps, text shorter than max_text_seq_length, one sample",
        dict(SMALL, **ROPE, num_attention_heads=1, attention_head_dim=48, num_layers=2, attention_bias=False,
             norm_elementwise_affine=False, norm_eps=1e-3), 1, 4, 6, dict(timestep=[500], text_length=5)),
    "transformer_variant_scales": (
        "sine first, shifted frequencies, other position scales, other channel counts, convolution without bias",
        dict(SMALL, num_attention_heads=2, attention_head_dim=24, num_layers=1, in_channels=6, out_channels=5,
             flip_sin_to_cos=False, freq_shift=1, patch_bias=False, spatial_interpolation_scale=1.5,
             temporal_interpolation_scale=0.75), 3, 6, 10, dict(timestep=LOW_TIMES)),
    "transformer_variant_patch": (
        "patches of 4x4 pixels and 3 frames, time embedding with gelu",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=32, num_layers=1, patch_size=4, patch_size_t=3,
             in_channels=3, out_channels=4, sample_height=12, sample_width=16, timestep_activation_fn="gelu"),
        6, 8, 12, dict(timestep=LOW_TIMES)),
}
for _activation in ("gelu", "geglu", "geglu-approximate", "swiglu", "linear-silu"):
    CASES[f"transformer_variant_{_activation.replace('-', '_')}"] = (
        f"feed-forward activation {_activation}",
        dict(SMALL, **ROPE, num_attention_heads=2, attention_head_dim=16, num_layers=1, activation_fn=_activation,
             timestep_activation_fn={"gelu": "mish", "geglu": "relu"}.get(_activation, "silu")), 1, 4, 6,
        dict(timestep=LOW_TIMES))

NAMES = list(CASES)
DETAILED = ("transformer_2b", "transformer_5b", "transformer_15")  # with the inside of block 0

INSIDE_BLOCK_0 = {
    "norm1": ["block0.norm1.video", "block0.norm1.text", "block0.norm1.gate.video", "block0.norm1.gate.text"],
    "attn1": ["block0.attn1.video", "block0.attn1.text"],
    "norm2": ["block0.norm2.video", "block0.norm2.text", "block0.norm2.gate.video", "block0.norm2.gate.text"],
    "ff": ["block0.ff"],
}


def rope_of(model, height: int, width: int, frames: int):
    if not model.config.use_rotary_positional_embeddings:
        return None
    stand_in = types.SimpleNamespace(vae_scale_factor_spatial=VAE_FACTOR, transformer=model)
    return CogVideoXPipeline._prepare_rotary_positional_embeddings(
        stand_in, height * VAE_FACTOR, width * VAE_FACTOR, frames, torch.device("cpu"))


def evaluate(config: dict, shape, call: dict, run: str, rounded: bool = True):
    """One forward pass. Returns every tensor by name, and the model."""
    dtype = reference.dtype_of(run)
    seen: dict[str, torch.Tensor] = {}

    def keep(*names):
        def hook(module, args, output):
            for name, tensor in zip(names, output if isinstance(output, tuple) else (output,), strict=True):
                seen[name] = tensor
        return hook

    with reference.patched(run):
        model = filler.fill_module(CogVideoXTransformer3DModel(**config).eval().to(dtype), rounded)
        frames, height, width = shape
        timestep = torch.tensor(call.get("timestep", TIMES))
        text_length = call.get("text_length", config["max_text_seq_length"])
        rope = rope_of(model, height, width, frames)
        if rope is not None:
            seen["rope.cos"], seen["rope.sin"] = rope
        if getattr(model.patch_embed, "pos_embedding", None) is not None and rope is None:
            pixel_frames = (frames - 1) * model.config.temporal_compression_ratio + 1
            table = model.patch_embed._get_positional_embeddings(height, width, pixel_frames)
            seen["position_table"] = table[:, config["max_text_seq_length"]:]  # the text rows are zero
        model.time_proj.register_forward_hook(keep("time_proj"))
        if model.ofs_proj is not None:
            model.ofs_proj.register_forward_hook(keep("ofs_proj"))
        model.patch_embed.register_forward_hook(keep("patch_embed"))
        for i, block in enumerate(model.transformer_blocks):
            block.register_forward_hook(keep(f"block{i}.video", f"block{i}.text"))
        first = model.transformer_blocks[0]
        for child, names in INSIDE_BLOCK_0.items():
            getattr(first, child).register_forward_hook(keep(*names))
        first.register_forward_pre_hook(lambda m, a, kw: seen.__setitem__("temb", kw["temb"]), with_kwargs=True)
        model.norm_final.register_forward_hook(keep("norm_final"))
        model.norm_out.register_forward_hook(keep("norm_out"))
        batch = len(timestep)
        latents = filler.inputs("in.latents", (batch, frames, model.config.in_channels, height, width))
        text = filler.inputs("in.text", (batch, text_length, model.config.text_embed_dim))
        latents, text = (torch.from_numpy(x if not rounded else x.astype("float32")).to(dtype) for x in (latents, text))
        seen["out"] = model(
            hidden_states=latents, encoder_hidden_states=text, timestep=timestep,
            ofs=torch.tensor([call["ofs"]], dtype=dtype) if "ofs" in call else None,
            image_rotary_emb=rope, return_dict=False)[0]
    return {name: tensor.detach().clone() for name, tensor in seen.items()}, model


MEANING = {
    "time_proj": "sinusoid of the time step [B, D]",
    "ofs_proj": "sinusoid of the offset [1, ofs_embed_dim]",
    "temb": "conditioning vector after the MLP, plus the offset embedding [B, time_embed_dim]",
    "rope.cos": "[video tokens, head_dim]",
    "rope.sin": "[video tokens, head_dim]",
    "position_table": "sin-cos rows added to the video tokens [1, video tokens, D]",
    "patch_embed": "joint sequence, text then video, with the position table [B, text + video, D]",
    "norm_final": "[B, video tokens, D]",
    "norm_out": "after the modulated output norm [B, video tokens, D]",
    "out": "velocity [B, F, out_channels, H, W]",
    "block0.ff": "feed-forward of block 0 before the gate, text then video [B, text + video, D]",
}


def meaning_of(name: str) -> str:
    if name in MEANING:
        return MEANING[name]
    block, _, rest = name.partition(".")
    stage, _, stream = rest.rpartition(".")
    if not stage:
        return f"{stream} stream after block {block[5:]} [B, tokens, D]"
    what = {"norm1": "modulated norm before attention", "norm2": "modulated norm before the feed-forward",
            "norm1.gate": "gate of the attention [B, 1, D]", "norm2.gate": "gate of the feed-forward [B, 1, D]",
            "attn1": "attention after its output projection, before the gate"}[stage]
    return f"{what}, {stream} stream, block 0"


def make(name: str) -> Case:
    about, config, frames, height, width, call = CASES[name]
    runs = {run: evaluate(config, (frames, height, width), call, run) for run in reference.RUNS}
    values, model = runs["f64"]
    timestep = call.get("timestep", TIMES)
    text_length = call.get("text_length", config["max_text_seq_length"])
    case = Case(name, "transformer", about).set(
        config=plain_config(model),
        inputs={
            "in.latents": [len(timestep), frames, model.config.in_channels, height, width],
            "in.text": [len(timestep), text_length, model.config.text_embed_dim],
        },
        call={"timestep": timestep, "ofs": call.get("ofs")},
    )
    for tensor_name, tensor in values.items():
        inside = tensor_name.startswith("block0.") and tensor_name not in ("block0.video", "block0.text")
        if (inside or tensor_name == "norm_final") and name not in DETAILED:
            continue
        case.add(tensor_name, tensor, meaning_of(tensor_name),
                 runs={run: runs[run][0][tensor_name] for run in ("f32", "exact")})
    return case


def check_published() -> None:
    """The reference in double with unrounded weights, on the tiny models whose checksums come with the filler."""
    tiny = dict(num_attention_heads=2, num_layers=2, text_embed_dim=32, time_embed_dim=16, max_text_seq_length=6,
                sample_height=8, sample_width=12, sample_frames=9)
    published = {  # sum, sum of magnitudes, first element, last element
        "A": (dict(tiny), 3, {}, 292.05691, 7670.0755, 1.1699304, -0.2730501),
        "B": (dict(tiny, **ROPE), 3, {}, -85.008878, 7653.0664, 1.1443300, -0.5674229),
        "C": (dict(tiny, **ROPE, in_channels=32, use_learned_positional_embeddings=True), 3, {},
              -38.993595, 7645.8335, 0.7322599, 0.6477747),
        "D": (dict(tiny, **ROPE, in_channels=32, patch_size_t=2, ofs_embed_dim=16), 4, dict(ofs=2.0),
              1039.2047, 11034.498, -1.1510226, -0.8189091),
    }
    for name, (config, frames, call, *expected) in published.items():
        values, _ = evaluate(config, (frames, 8, 12), dict(call, timestep=[999, 259]), "exact", rounded=False)
        out = values["out"].flatten()
        got = (out.sum(), out.abs().sum(), out[0], out[-1])
        for g, e in zip(got, expected, strict=True):
            if abs(float(g) - e) > 1e-7 * max(1.0, abs(e)) * 2:
                raise AssertionError(f"tiny transformer {name}: {float(g)} instead of {e}")
