"""AutoencoderKLCogVideoX: chunked encoding and decoding, every block, tiles, the posterior."""

import torch
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from . import filler, reference
from .store import Case, plain_config

A = dict(block_out_channels=(8, 16, 16, 32), latent_channels=4, layers_per_block=1, norm_num_groups=4)
B = dict(block_out_channels=(16, 16, 32, 32), latent_channels=8, layers_per_block=2, norm_num_groups=8)
C = dict(block_out_channels=(12, 12, 24, 24), latent_channels=4, layers_per_block=1, norm_num_groups=4)
D = dict(block_out_channels=(8, 12, 16), latent_channels=3, layers_per_block=1, norm_num_groups=2, norm_eps=1e-3,
         temporal_compression_ratio=2, down_block_types=("CogVideoXDownBlock3D",) * 3,
         up_block_types=("CogVideoXUpBlock3D",) * 3)

# name -> (about, config, batch, {frames: (height, width) in pixels} to encode, {frames: (h, w) in latents} to decode,
#          frame counts whose blocks are kept for encode, for decode)
CASES = {
    "vae_a": (
        "channels 8,16,16,32: every frame count of the chunk rule, blocks of the first and second chunk", A, 1,
        {1: (16, 24), 5: (16, 24), 8: (16, 24), 9: (16, 24), 13: (16, 24), 17: (16, 24), 25: (24, 16), 49: (16, 16)},
        {1: (2, 3), 2: (2, 3), 3: (2, 3), 4: (2, 3), 5: (2, 3), 7: (3, 2), 13: (2, 2)}, (17,), (5,)),
    "vae_b": (
        "8 latent channels, two layers per block, 8 groups, decoder blocks for an even first chunk", B, 1,
        {1: (16, 24), 9: (16, 24), 17: (16, 16)}, {1: (2, 3), 2: (1, 2), 3: (2, 3), 5: (2, 2)}, (9,), (2,)),
    "vae_c": (
        "channels that are no multiple of 8, batch of two", C, 2,
        {5: (16, 24), 9: (8, 16)}, {1: (3, 2), 3: (1, 2)}, (5,), (3,)),
    "vae_d": (
        "three levels, time halved once, norm_eps 1e-3", D, 1,
        {1: (12, 20), 9: (12, 20)}, {1: (3, 5), 3: (3, 5)}, (), ()),
}
# Tile sizes in pixels; the overlaps are the library's defaults (1/6, 1/5) where None.
TILES = {
    "vae_tiles_small": (
        "tiles of 32x16 px with overlaps 1/4 and 1/2; the last tiles are smaller", A, (32, 16), (0.25, 0.5),
        {9: (40, 64), 17: (56, 24)}, {3: (5, 8), 5: (7, 3)}),
    "vae_tiles_default": (
        "tiles of 48x80 px with the default overlaps, stored in part", A, (48, 80), None,
        {1: (88, 144), 9: (88, 144)}, {1: (11, 18), 3: (11, 18)}),
    "vae_tiles_one_axis": (
        "tiles of 48x80 px: one axis fits a tile, and the last tile lies inside the previous one", A, (48, 80), None,
        {1: (48, 120)}, {1: (12, 9)}),
}
NAMES = [*CASES, *TILES, "vae_posterior"]
BLOCK_LIMIT = 6144  # blocks are many: beyond this many elements keep a sample


def build(config: dict, run: str) -> AutoencoderKLCogVideoX:
    return filler.fill_module(AutoencoderKLCogVideoX(**config).eval().to(reference.dtype_of(run)))


def watch(network, prefix: str, seen: dict) -> list:
    """Keeps the output of every block, chunk by chunk."""
    chunks: dict[str, int] = {}

    def keep(label):
        def hook(module, args, output):
            tensor = output[0] if isinstance(output, tuple) else output
            number = chunks.setdefault(label, 0)
            chunks[label] += 1
            seen[f"{prefix}.chunk{number}.{label}"] = tensor
        return hook

    watched = {"conv_in": network.conv_in, "mid_block": network.mid_block, "norm_out": network.norm_out}
    for kind in ("down_blocks", "up_blocks"):
        for i, block in enumerate(getattr(network, kind, [])):
            watched[f"{kind}.{i}.resnets"] = block.resnets[-1]
            if getattr(block, "downsamplers", None) or getattr(block, "upsamplers", None):
                watched[f"{kind}.{i}"] = block
    return [module.register_forward_hook(keep(label)) for label, module in watched.items()]


def evaluate(config, batch, encodes, decodes, run, keep_encode=(), keep_decode=(), tile=None, overlap=None, tag="",
             whole=False):
    dtype = reference.dtype_of(run)
    seen: dict[str, torch.Tensor] = {}
    with reference.patched(run):
        vae = build(config, run)
        if tile:
            vae.enable_tiling(*tile, *(overlap or ()))
        if whole:
            vae.num_sample_frames_batch_size = vae.num_latent_frames_batch_size = 10**6
        for frames, (height, width) in encodes.items():
            name = f"encode.F{frames}"
            hooks = watch(vae.encoder, name, seen) if frames in keep_encode else []
            video = filler.input_tensor("in.video", (batch, config.get("in_channels", 3), frames, height, width), dtype)
            seen[name + tag] = vae.encode(video).latent_dist.parameters
            for hook in hooks:
                hook.remove()
        for frames, (height, width) in decodes.items():
            name = f"decode.T{frames}"
            hooks = watch(vae.decoder, name, seen) if frames in keep_decode else []
            shape = (batch, config["latent_channels"], frames, height, width)
            latents = filler.input_tensor("in.latents", shape, dtype)
            seen[name + tag] = vae.decode(latents).sample
            for hook in hooks:
                hook.remove()
    return {name: tensor.detach().clone() for name, tensor in seen.items()}, vae


def meaning_of(name: str) -> str:
    if ".chunk" in name:
        coder, frames, chunk, label = name.split(".", 3)
        what = label.replace(".resnets", ", before its resampling")
        return f"{coder}r, {frames[1:]} frames, chunk {chunk[5:]}: output of {what} [B, C, T, H, W]"
    tiled = ", tiled" if name.endswith(".tiled") else ", all frames in one chunk" if name.endswith(".whole") else ""
    if name.startswith("encode"):
        return f"moments: mean then log variance, not clamped{tiled} [B, 2 latent_channels, T, h, w]"
    return f"decoded latents{tiled} [B, 3, F, H, W]"


def call_of(batch, config, encodes, decodes) -> dict:
    channels = config["latent_channels"]
    return {
        "encode": {f"encode.F{f}": [batch, 3, f, h, w] for f, (h, w) in encodes.items()},
        "decode": {f"decode.T{t}": [batch, channels, t, h, w] for t, (h, w) in decodes.items()},
    }


INPUTS = "each encode reads in.video and each decode in.latents, of the shape given under call"


def make_plain(name: str) -> Case:
    about, config, batch, encodes, decodes, keep_encode, keep_decode = CASES[name]
    arguments = (config, batch, encodes, decodes)
    values, vae = evaluate(*arguments, "f64", keep_encode, keep_decode)
    single, _ = evaluate(*arguments, "f32", keep_encode, keep_decode)
    case = Case(name, "vae", about).set(
        config=plain_config(vae), inputs=INPUTS, call=call_of(batch, config, encodes, decodes))
    for tensor_name, tensor in values.items():
        case.add(tensor_name, tensor, meaning_of(tensor_name), runs={"f32": single[tensor_name]},
                 limit=BLOCK_LIMIT if ".chunk" in tensor_name else 16_384)
    if name == "vae_a":  # what a network that is split over time without chunks has to reproduce
        options = dict(tag=".whole", whole=True)
        arguments = (config, batch, {17: encodes[17]}, {5: decodes[5]})
        values, _ = evaluate(*arguments, "f64", **options)
        single, _ = evaluate(*arguments, "f32", **options)
        for tensor_name, tensor in values.items():
            case.add(tensor_name, tensor, meaning_of(tensor_name), runs={"f32": single[tensor_name]}, limit=16_384)
    return case


def make_tiles(name: str) -> Case:
    about, config, tile, overlap, encodes, decodes = TILES[name]
    arguments = (config, 1, encodes, decodes)
    case = Case(name, "vae_tiles", about)
    for tag, options in ((".tiled", dict(tile=tile, overlap=overlap)), ("", {})):
        values, vae = evaluate(*arguments, "f64", tag=tag, **options)
        single, _ = evaluate(*arguments, "f32", tag=tag, **options)
        for tensor_name, tensor in values.items():
            # The untiled result is there to show the difference; a sample of it does.
            case.add(tensor_name, tensor, meaning_of(tensor_name), runs={"f32": single[tensor_name]},
                     limit=WHOLE_TILED if tag else BLOCK_LIMIT)
        if tag:
            call = dict(call_of(1, config, encodes, decodes), tile={
                "sample_min_height": vae.tile_sample_min_height, "sample_min_width": vae.tile_sample_min_width,
                "latent_min_height": vae.tile_latent_min_height, "latent_min_width": vae.tile_latent_min_width,
                "overlap_factor_height": vae.tile_overlap_factor_height,
                "overlap_factor_width": vae.tile_overlap_factor_width})
            case.set(config=plain_config(vae), inputs=INPUTS, call=call)
    return case


WHOLE_TILED = 32_768


def make_posterior() -> Case:
    """Scaled up so that the clamp of the log variance (-30, 20) is reached on both sides."""
    shape, seed = (2, 8, 3, 4, 5), 11
    case = Case("vae_posterior", "posterior", "sample, mode and KL of DiagonalGaussianDistribution").set(
        inputs={"in.moments": list(shape)}, call={"factor": 25.0, "seed": seed})
    runs = {}
    for run in reference.RUNS:
        with reference.patched(run):
            moments = filler.input_tensor("in.moments", shape, reference.dtype_of(run)) * 25.0
            posterior = DiagonalGaussianDistribution(moments)
            runs[run] = {
                "std": (posterior.std, "exp(logvar / 2) after the clamp"),
                "sample": (posterior.sample(torch.Generator().manual_seed(seed)), "mean + std * noise of the seed"),
                "kl": (posterior.kl(), "the library sums dims 1, 2, 3 only [B, W]"),
            }
    for tensor_name, (tensor, meaning) in runs["f64"].items():
        case.add(tensor_name, tensor, meaning, runs={run: runs[run][tensor_name][0] for run in ("f32", "exact")})
    return case


def make(name: str) -> Case:
    if name == "vae_posterior":
        return make_posterior()
    return make_tiles(name) if name in TILES else make_plain(name)


def check_published() -> None:
    """Sum of magnitudes, first and last element for a tiny model in double with unrounded weights."""
    published = {
        ("encode", 1): (80.944203, -1.087216, 0.0087636), ("encode", 17): (434.29316, -0.3810915, -0.1254627),
        ("decode", 2): (28054.634, -0.2093594, 0.0704247), ("decode", 5): (53129.676, -0.3285887, -0.4036145),
    }
    with reference.patched("f64"):
        vae = filler.fill_module(AutoencoderKLCogVideoX(**A).eval().double(), rounded=False)
        for (what, frames), expected in published.items():
            shape = (1, 3, frames, 32, 48) if what == "encode" else (1, 4, frames, 4, 6)
            x = torch.from_numpy(filler.inputs("in.video" if what == "encode" else "in.latent", shape))
            out = vae.encode(x).latent_dist.parameters if what == "encode" else vae.decode(x).sample
            got = (out.abs().sum(), out.flatten()[0], out.flatten()[-1])
            for g, e in zip(got, expected, strict=True):
                if abs(float(g) - e) > 1e-7 * max(1.0, abs(e)):
                    raise AssertionError(f"tiny VAE, {what} {frames} frames: {float(g)} instead of {e}")
