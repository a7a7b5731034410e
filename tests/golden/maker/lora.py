"""Adapters: files as the library saves them, and what its transformer computes with them loaded."""

import shutil
import tempfile
from pathlib import Path

import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from . import filler, reference, transformer
from .store import ROOT, Case, plain_config

ALL = ["to_q", "to_k", "to_v", "to_out.0"]
# name -> (about, transformer case, adapters: file -> (LoraConfig, with metadata), calls: name -> {file: weight})
CASES = {
    "lora_2b": (
        "attention of every block; ranks and alphas by module; one file with metadata, one without",
        "transformer_2b",
        {"a.safetensors": (dict(r=3, lora_alpha=6, target_modules=ALL, alpha_pattern={"to_k": 2}), True),
         "b.safetensors": (dict(r=2, lora_alpha=2, target_modules=["ff.net.0.proj", "ff.net.2", "norm1.linear", "proj_out"]), False)},
        {"a": {"a.safetensors": 1.0}, "a_less": {"a.safetensors": 0.3}, "both": {"a.safetensors": 0.7, "b.safetensors": -1.5}}),
    "lora_15": (
        "rank-stabilised; the patch projection of 1.5 is a linear layer and has an update too",
        "transformer_15",
        {"a.safetensors": (dict(r=4, lora_alpha=2, target_modules=[*ALL, "patch_embed.proj", "patch_embed.text_proj"], use_rslora=True), True)},
        {"a": {"a.safetensors": 1.0}}),
}
NAMES = list(CASES)


def adapter_file(config: dict, options: dict, with_metadata: bool, path: Path) -> None:
    model = CogVideoXTransformer3DModel(**config)
    model.add_adapter(LoraConfig(**options))
    state = get_peft_model_state_dict(model)
    for key, value in state.items():
        state[key] = torch.from_numpy(filler.parameter(f"{path.name}:{key}", tuple(value.shape)).astype("float32"))
    settings = model.peft_config["default"].to_dict()
    settings["target_modules"] = sorted(settings["target_modules"])  # a set: another order in every run
    metadata = {"transformer_lora_adapter_metadata": settings} if with_metadata else {}
    with tempfile.TemporaryDirectory() as folder:
        CogVideoXPipeline.save_lora_weights(folder, transformer_lora_layers=state, **metadata)
        shutil.copy(Path(folder) / "pytorch_lora_weights.safetensors", path)


def evaluate(name: str, weights: dict, run: str) -> torch.Tensor:
    _, base, _, _ = CASES[name]
    _, config, frames, height, width, call = transformer.CASES[base]
    dtype = reference.dtype_of(run)
    with reference.patched(run), torch.no_grad():
        model = filler.fill_module(CogVideoXTransformer3DModel(**config).eval().to(dtype))
        pipe = CogVideoXPipeline(tokenizer=None, text_encoder=None, vae=None, transformer=model, scheduler=None)
        for file in weights:
            pipe.load_lora_weights(str(ROOT / name), weight_name=file, adapter_name=Path(file).stem)
        pipe.set_adapters([Path(file).stem for file in weights], list(weights.values()))
        model = pipe.transformer.to(dtype)
        return model(
            hidden_states=filler.input_tensor("in.latents", (2, frames, model.config.in_channels, height, width), dtype),
            encoder_hidden_states=filler.input_tensor("in.text", (2, config["max_text_seq_length"], config["text_embed_dim"]), dtype),
            timestep=torch.tensor(transformer.TIMES), image_rotary_emb=transformer.rope_of(model, height, width, frames),
            return_dict=False)[0]


def make(name: str) -> Case:
    about, base, adapters, calls = CASES[name]
    _, config, frames, height, width, _ = transformer.CASES[base]
    (ROOT / name).mkdir(exist_ok=True)
    for file, (options, with_metadata) in adapters.items():
        adapter_file(config, options, with_metadata, ROOT / name / file)
    case = Case(name, "lora", about).set(
        config=plain_config(CogVideoXTransformer3DModel(**config)),
        inputs={"in.latents": [2, frames, config.get("in_channels", 16), height, width],
                "in.text": [2, config["max_text_seq_length"], config["text_embed_dim"]]},
        call={"timestep": transformer.TIMES, "ofs": None}, adapters=calls)
    for call, weights in calls.items():
        runs = {run: evaluate(name, weights, run) for run in reference.RUNS}
        case.add(f"out.{call}", runs["f64"], "velocity with these adapters [B, F, out_channels, H, W]", runs=runs)
    return case
