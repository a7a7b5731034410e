"""Gradients of every parameter and input of tiny models, L = mean(output * in.w)."""

import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel

from . import filler, reference, t5, transformer, vae
from .store import Case, plain_config

# name -> (about, kind, config, shape of the main input, call)
CASES = {
    "gradients_2b": ("transformer with the sin-cos table", "transformer",
                     dict(transformer.CASES["transformer_2b"][1], num_layers=2), (3, 6, 10), {}),
    "gradients_5b_i2v": ("transformer with RoPE and the learned table", "transformer",
                         dict(transformer.CASES["transformer_5b_i2v"][1], num_layers=2), (3, 6, 10), {}),
    "gradients_15_i2v": ("transformer with temporal patches and offset embedding", "transformer",
                         dict(transformer.CASES["transformer_15_i2v"][1], num_layers=2), (4, 4, 14), dict(ofs=2.0)),
    "gradients_encoder": ("VAE encoder over two chunks, so that gradients pass through the convolution caches",
                          "encode", vae.A, (17, 16, 24), {}),
    "gradients_decoder": ("VAE decoder over two chunks", "decode", vae.A, (5, 2, 3), {}),
    "gradients_t5": ("text encoder", "t5", t5.CASES["t5_narrow"][1], (), {}),
}
NAMES = list(CASES)
SAMPLES = 192  # of each gradient; small ones are whole


def forward(kind: str, config: dict, shape, call: dict, run: str):
    """Model, named inputs that want a gradient, output."""
    dtype = reference.dtype_of(run)
    if kind == "transformer":
        model = filler.fill_module(CogVideoXTransformer3DModel(**config).eval().to(dtype))
        frames, height, width = shape
        times = torch.tensor([transformer.TIMES[0], 500])
        shapes = {"in.latents": (2, frames, model.config.in_channels, height, width),
                  "in.text": (2, config["max_text_seq_length"], config["text_embed_dim"])}
        leaves = {key: filler.input_tensor(key, size, dtype).requires_grad_() for key, size in shapes.items()}
        if model.config.use_learned_positional_embeddings:
            # A buffer in the library, trained nowhere; its gradient is still well defined.
            leaves["patch_embed.pos_embedding"] = model.patch_embed.pos_embedding.requires_grad_()
        output = model(
            hidden_states=leaves["in.latents"], encoder_hidden_states=leaves["in.text"], timestep=times,
            ofs=torch.tensor([call["ofs"]], dtype=dtype) if "ofs" in call else None,
            image_rotary_emb=transformer.rope_of(model, height, width, frames), return_dict=False)[0]
        return model, leaves, output, {"timestep": times.tolist(), "ofs": call.get("ofs")}
    if kind == "t5":
        model = t5.build(config, run)
        return model, {}, model(torch.tensor([t5.SHORT]))[0], {"ids": t5.SHORT}
    model = vae.build(config, run)
    if kind == "encode":
        leaf = filler.input_tensor("in.video", (1, 3, *shape), dtype).requires_grad_()
        return model.encoder, {"in.video": leaf}, model.encode(leaf).latent_dist.parameters, {}
    leaf = filler.input_tensor("in.latents", (1, config["latent_channels"], *shape), dtype).requires_grad_()
    return model.decoder, {"in.latents": leaf}, model.decode(leaf).sample, {}


def evaluate(name: str, run: str):
    _, kind, config, shape, call = CASES[name]
    with reference.patched(run), torch.enable_grad():
        model, leaves, output, call = forward(kind, config, shape, call, run)
        weights = filler.input_tensor("in.w", output.shape, output.dtype)
        loss = (output * weights).mean()
        loss.backward()
    prefix = {"encode": "encoder.", "decode": "decoder."}.get(kind, "")
    gradients = {prefix + key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    if kind == "t5":
        # The table is one parameter, found under its first name.
        gradients = {key: g for key, g in gradients.items() if key != "encoder.embed_tokens.weight"}
    gradients |= {key: leaf.grad for key, leaf in leaves.items()}
    call |= {"inputs": {key: list(leaf.shape) for key, leaf in leaves.items() if key.startswith("in.")},
             "in.w": list(output.shape)}
    return loss.detach(), gradients, call


def make(name: str) -> Case:
    about, kind, config, _, _ = CASES[name]
    runs = {run: evaluate(name, run) for run in reference.RUNS}
    loss, gradients, call = runs["f64"]
    component = CogVideoXTransformer3DModel if kind == "transformer" else AutoencoderKLCogVideoX
    config = t5.plain_config(config) if kind == "t5" else plain_config(component(**config))
    case = Case(name, "gradients", about).set(model=kind, config=config, call=call)
    case.add("loss", loss, "mean(output * in.w)", runs={run: runs[run][0] for run in ("f32", "exact")})
    for key, gradient in gradients.items():
        case.add(f"grad.{key}", gradient, "dL/d of it", limit=SAMPLES,
                 runs={run: runs[run][1][key] for run in ("f32", "exact")})
    return case
