"""Whole pipelines on tiny models: prompt, seed and pictures in; latents of selected steps and frames out."""

import functools

import diffusers
import numpy as np
import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDDIMScheduler,
    CogVideoXDPMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    CogVideoXVideoToVideoPipeline,
)
from PIL import Image

from . import filler, reference, schedulers, t5, tokenizer
from .store import Case, plain_config

HEIGHT, WIDTH, FRAMES = 32, 48, 9  # pixels; 3 latent frames of 4x6
TEXT_LENGTH = 16
KEPT_STEPS = (1, 2, 10, 25, 50)  # results after so many steps, as far as the run has them, and after the last

TEXT_ENCODER = dict(d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=2, vocab_size=416)  # 300 pieces, 100 sentinels
VAE = dict(block_out_channels=(8, 16, 16, 32), latent_channels=4, layers_per_block=1, norm_num_groups=4,
           sample_height=64, sample_width=96)
TRANSFORMER = dict(num_attention_heads=3, attention_head_dim=16, num_layers=2, in_channels=4, out_channels=4,
                   text_embed_dim=32, time_embed_dim=24, max_text_seq_length=TEXT_LENGTH, sample_height=HEIGHT // 8,
                   sample_width=WIDTH // 8, sample_frames=FRAMES)
ROPE = dict(use_rotary_positional_embeddings=True)
V15 = dict(patch_size_t=2, patch_bias=False, sample_height=8, sample_width=10, sample_frames=17)

# name -> (about, transformer, vae, snr_shift_scale)
VARIANTS = {
    "pipeline_2b": ("as CogVideoX-2b", TRANSFORMER, dict(VAE, scaling_factor=1.15258426), 3.0),
    "pipeline_5b": ("as CogVideoX-5b", dict(TRANSFORMER, **ROPE), dict(VAE, scaling_factor=0.7), 1.0),
    "pipeline_5b_i2v": ("as CogVideoX-5b-I2V",
                        dict(TRANSFORMER, **ROPE, in_channels=8, use_learned_positional_embeddings=True),
                        dict(VAE, scaling_factor=0.7), 1.0),
    "pipeline_15": ("as CogVideoX1.5-5B", dict(TRANSFORMER, **ROPE, **V15),
                    dict(VAE, scaling_factor=0.7, invert_scale_latents=True), 1.0),
    "pipeline_15_i2v": ("as CogVideoX1.5-5B-I2V", dict(TRANSFORMER, **ROPE, **V15, in_channels=8, ofs_embed_dim=24),
                        dict(VAE, scaling_factor=0.7, invert_scale_latents=True), 1.0),
}
NAMES = list(VARIANTS)

PROMPT = "A red fox runs through a snowy forest, cinematic."
NEGATIVE = "watercolour style"


def call(**changes) -> dict:
    base = dict(task="t2v", scheduler="dpm", prompt=PROMPT, negative_prompt="", seed=42, num_inference_steps=50,
                guidance_scale=6.0, use_dynamic_cfg=False, height=HEIGHT, width=WIDTH, num_frames=FRAMES)
    return {**base, **changes}


# Sizes of resized pictures and videos are such that every version of Pillow gives the same bytes (see resize.py).
def runs_of(name: str) -> dict[str, dict]:
    if name.endswith("i2v"):
        image = dict(task="i2v", image=[HEIGHT, WIDTH, 3])
        return {
            "i2v.ddim": call(**image, scheduler="ddim", negative_prompt=NEGATIVE),
            "i2v.ddim.dynamic": call(**image, scheduler="ddim", use_dynamic_cfg=True, seed=7),
            "i2v.dpm": call(**image),
            "i2v.dpm.dynamic": call(**image, use_dynamic_cfg=True, seed=7, negative_prompt=NEGATIVE),
            "i2v.dpm.resized": call(**dict(image, image=[40, 64, 3]), num_inference_steps=4),
        }
    video_frames = 13 if "15" in name else FRAMES  # 1.5 needs an even latent count; its 4 latents decode to 16 frames
    video = dict(task="v2v", video=[video_frames, HEIGHT, WIDTH, 3], strength=0.6, num_frames=video_frames)
    runs = {
        "t2v.ddim": call(scheduler="ddim", negative_prompt=NEGATIVE),
        "t2v.ddim.dynamic": call(scheduler="ddim", use_dynamic_cfg=True, seed=7),
        "t2v.dpm": call(),
        "t2v.dpm.dynamic": call(use_dynamic_cfg=True, seed=7, negative_prompt=NEGATIVE),
        "t2v.dpm.seven": call(num_inference_steps=7, prompt="two dancers \U0001f98a", seed=1),
        "t2v.ddim.unguided": call(scheduler="ddim", guidance_scale=1.0, num_inference_steps=4),
        "v2v.ddim": call(**video, scheduler="ddim", negative_prompt=NEGATIVE),
        "v2v.dpm": call(**video),
        "v2v.dpm.dynamic": call(**video, use_dynamic_cfg=True, seed=7),
        "v2v.dpm.resized": call(**dict(video, video=[video_frames, 24, 56, 3]), num_inference_steps=10),
    }
    if name == "pipeline_2b" or name == "pipeline_5b":
        runs["t2v.dpm.other_size"] = call(height=64, width=32, num_frames=5, num_inference_steps=4)
    if name == "pipeline_2b":  # the spacing of its first release
        runs["t2v.ddim.linspace"] = call(scheduler="ddim", timestep_spacing="linspace", num_inference_steps=10)
    return runs


@functools.cache
def tokenizer_for_pipeline():
    for prompt in (PROMPT, NEGATIVE, "", "two dancers \U0001f98a"):
        if tokenizer.encode(prompt, TEXT_LENGTH) != tokenizer.encode_transformers(prompt, TEXT_LENGTH):
            raise AssertionError(f"the library's tokenizer disagrees with sentencepiece on {prompt!r}")
    return tokenizer.transformers_tokenizer()


def scheduler_config(shift: float) -> dict:
    return {"_class_name": "CogVideoXDDIMScheduler", "_diffusers_version": diffusers.__version__,
            **schedulers.config_of(snr_shift_scale=shift)}


def components(name: str, run: str):
    _, transformer, vae, _ = VARIANTS[name]
    dtype = reference.dtype_of(run)
    return {
        "tokenizer": tokenizer_for_pipeline(),
        "text_encoder": t5.build(TEXT_ENCODER, run),
        "vae": filler.fill_module(AutoencoderKLCogVideoX(**vae).eval().to(dtype)),
        "transformer": filler.fill_module(CogVideoXTransformer3DModel(**transformer).eval().to(dtype)),
    }


def evaluate(parts: dict, shift: float, options: dict, run: str) -> dict[str, torch.Tensor]:
    """One call of a pipeline. The caller holds reference.patched(run)."""
    config = schedulers.config_of(snr_shift_scale=shift, timestep_spacing=options.get("timestep_spacing", "trailing"))
    scheduler = (CogVideoXDDIMScheduler if options["scheduler"] == "ddim" else CogVideoXDPMScheduler)(**config)
    kind = {"t2v": CogVideoXPipeline, "i2v": CogVideoXImageToVideoPipeline, "v2v": CogVideoXVideoToVideoPipeline}
    pipe = kind[options["task"]](**parts, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    seen: dict[str, torch.Tensor] = {}

    prepare, encode = pipe.prepare_latents, pipe.encode_prompt

    def prepare_and_keep(*args, **kwargs):
        result = prepare(*args, **kwargs)
        if options["task"] == "i2v":
            seen["latents.0"], seen["image_latents"] = result
        else:
            seen["latents.0"] = result
        return result

    def encode_and_keep(*args, **kwargs):
        seen["prompt_embeds"], negative = encode(*args, **kwargs)
        if negative is not None:
            seen["negative_prompt_embeds"] = negative
        return seen["prompt_embeds"], negative

    pipe.prepare_latents, pipe.encode_prompt = prepare_and_keep, encode_and_keep

    def keep_first_velocity(module, args, output):
        seen.setdefault("velocity.0", output[0].clone())

    hook = pipe.transformer.register_forward_hook(keep_first_velocity)
    shared = dict(
        {key: options[key] for key in ("prompt", "negative_prompt", "height", "width", "num_inference_steps",
                                       "guidance_scale", "use_dynamic_cfg")},
        generator=torch.Generator().manual_seed(options["seed"]), max_sequence_length=TEXT_LENGTH, output_type="np")
    if options["task"] == "i2v":
        shared["image"] = Image.fromarray(filler.pixels("in.image", options["image"]))
        shared["num_frames"] = options["num_frames"]
    elif options["task"] == "v2v":
        shared["video"] = [Image.fromarray(frame) for frame in filler.pixels("in.video", options["video"])]
        shared["strength"] = options["strength"]
    else:
        shared["num_frames"] = options["num_frames"]

    steps: list[torch.Tensor] = []

    def after_step(pipe, i, t, tensors):
        steps.append(tensors["latents"].clone())
        return tensors

    frames = pipe(**shared, callback_on_step_end=after_step).frames
    hook.remove()
    for step in KEPT_STEPS:
        if step < len(steps):
            seen[f"latents.{step}"] = steps[step - 1]
    seen["latents.final"] = steps[-1]
    seen["frames"] = torch.from_numpy(np.asarray(frames))
    seen["steps"] = torch.tensor(len(steps))
    return seen


def weights_of(module) -> dict[str, list[int]]:
    """Key -> shape, without the second name of the T5 embedding."""
    state = module.state_dict()
    return {key: list(value.shape) for key, value in state.items() if key != "encoder.embed_tokens.weight"}


MEANING = {
    "prompt_embeds": "[1, 16, text_embed_dim]", "negative_prompt_embeds": "[1, 16, text_embed_dim]",
    "image_latents": "scaled, padded with zero frames [1, F, C, h, w]",
    "latents.0": "before the first step [1, F, C, h, w]",
    "velocity.0": "first output of the network, before guidance: negative, positive [2, F, C, h, w]",
    "latents.final": "after the last step, surplus first frames of 1.5 included [1, F, C, h, w]",
    "frames": "in [0, 1] [1, frames, H, W, 3]",
}


def make(name: str) -> Case:
    about, _, _, shift = VARIANTS[name]
    options = runs_of(name)
    results: dict[str, dict[str, dict[str, torch.Tensor]]] = {}
    for run in reference.RUNS:
        with reference.patched(run):
            parts = components(name, run)
            if run != "f32":
                reference.keep_double(parts["transformer"])
            results[run] = {label: evaluate(parts, shift, o, run) for label, o in options.items()}
    index = {"_class_name": "CogVideoXImageToVideoPipeline" if name.endswith("i2v") else "CogVideoXPipeline",
             "_diffusers_version": diffusers.__version__,
             "scheduler": ["diffusers", "CogVideoXDDIMScheduler"], "text_encoder": ["transformers", "T5EncoderModel"],
             "tokenizer": ["transformers", "T5Tokenizer"], "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
             "vae": ["diffusers", "AutoencoderKLCogVideoX"]}
    prompts = {o[which] for o in options.values() for which in ("prompt", "negative_prompt")}
    case = Case(name, "pipeline", about).set(
        folder={
            "model_index.json": index,
            "scheduler/scheduler_config.json": scheduler_config(shift),
            "text_encoder/config.json": t5.plain_config(TEXT_ENCODER),
            "tokenizer/tokenizer_config.json": tokenizer.TOKENIZER_CONFIG,
            "transformer/config.json": plain_config(parts["transformer"]),
            "vae/config.json": plain_config(parts["vae"]),
        },
        weights={part: weights_of(parts[part]) for part in ("text_encoder", "transformer", "vae")},
        token_ids={prompt: tokenizer.encode(prompt, TEXT_LENGTH) for prompt in sorted(prompts)},
        runs={label: {**o, "steps": int(results["f64"][label]["steps"])} for label, o in options.items()},
    )
    for label, tensors in results["f64"].items():
        for tensor_name, tensor in tensors.items():
            if tensor_name == "steps" or (tensor_name.endswith("prompt_embeds") and label not in EMBEDS_OF):
                continue
            meaning = MEANING.get(tensor_name, f"after {tensor_name.split('.')[-1]} steps [1, F, C, h, w]")
            case.add(f"{label}.{tensor_name}", tensor, meaning, limit=FRAME_LIMIT.get(label, 4096),
                     runs={run: results[run][label][tensor_name] for run in ("f32", "exact")})
    return case


EMBEDS_OF = ("t2v.ddim", "i2v.ddim", "t2v.dpm.seven")  # the other runs use the same prompts
FRAME_LIMIT = {"t2v.dpm": 16_384, "i2v.dpm": 16_384}
