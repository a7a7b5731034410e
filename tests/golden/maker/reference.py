"""Running the reference in float64.

The library rounds to float32 in a few places whatever the dtype of the weights. A run "f64" replaces exactly
these, so that it can serve as the oracle; a run "exact" evaluates the position and time tables and the noise in
double as well, which shows how much of a difference is owed to them alone. A run "f32" is the library untouched.

  apply_rotary_emb       multiplies in float32                -> in the dtype of q and k
  T5LayerNorm            variance in float32                  -> in the dtype of the activations
  torch.randn            draws other numbers for float64      -> float32 draws, then widened (torch's logarithm
                                                                 and cosine are good to 1e-6); exact in "exact"
  pipelines              model output .float()                -> kept
  sinusoid, RoPE, sin-cos tables in float32 (positions, at least)  -> kept in "f64", double in "exact"
"""

import contextlib
import math
from unittest import mock

import diffusers.models.embeddings as embeddings
import diffusers.pipelines.cogvideo.pipeline_cogvideox as pipeline_t2v
import diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video as pipeline_i2v
import diffusers.pipelines.cogvideo.pipeline_cogvideox_video2video as pipeline_v2v
import numpy as np
import torch
import transformers.models.t5.modeling_t5 as t5

RUNS = ("f32", "f64", "exact")


def dtype_of(run: str) -> torch.dtype:
    return torch.float32 if run == "f32" else torch.float64


def _rotate(x, freqs_cis, **_):
    cos, sin = (table.to(x.dtype) for table in freqs_cis)
    real, imag = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    rotated = torch.stack([-imag, real], dim=-1).flatten(3)
    return x * cos + rotated * sin


def _rms_norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


_randn = torch.randn


def _randn_of_f32(*size, dtype=None, **kwargs):
    if dtype == torch.float64:
        return _randn(*size, dtype=torch.float32, **kwargs).to(torch.float64)
    return _randn(*size, dtype=dtype, **kwargs)


class ExactNoise:
    """The stream of a fresh torch CPU generator with logarithm, sine and cosine in double."""

    _streams: dict[int, "ExactNoise"] = {}

    def __init__(self, generator: torch.Generator):
        self.generator = generator  # kept alive, so that its id stays its own
        self.words = np.random.MT19937()
        self.words._legacy_seeding(generator.initial_seed() % 2**32)
        self.spare: float | None = None

    @classmethod
    def of(cls, generator: torch.Generator) -> "ExactNoise":
        return cls._streams.setdefault(id(generator), cls(generator))

    def _one(self) -> float:
        if self.spare is not None:
            value, self.spare = self.spare, None
            return value
        high_1, low_1, high_2, low_2 = (int(w) for w in self.words.random_raw(4))
        u1, u2 = ((((high << 32) | low) & (2**53 - 1)) * 2.0**-53 for high, low in ((high_1, low_1), (high_2, low_2)))
        radius, angle = math.sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
        self.spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def _uniform(self, count: int) -> np.ndarray:
        return (self.words.random_raw(count) & 0xFFFFFF) * 2.0**-24

    @staticmethod
    def _box_muller(u: np.ndarray) -> np.ndarray:
        u = u.reshape(-1, 2, 8)
        radius, angle = np.sqrt(-2.0 * np.log(1.0 - u[:, 0])), 2.0 * np.pi * u[:, 1]
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)

    def draw(self, count: int) -> np.ndarray:
        if count < 16:
            return np.array([self._one() for _ in range(count)])
        values = self._uniform(count)
        whole = count - count % 16
        values[:whole] = self._box_muller(values[:whole])
        if whole < count:  # the last sixteen are drawn anew, over the end of the last whole block
            values[-16:] = self._box_muller(self._uniform(16))
        return values


def exact_randn(size, generator: torch.Generator, dtype=None, **_) -> torch.Tensor:
    values = ExactNoise.of(generator).draw(math.prod(size))
    return torch.from_numpy(values).reshape(tuple(size)).to(dtype)


def sinusoid(timesteps, embedding_dim, flip_sin_to_cos=False, downscale_freq_shift=1, scale=1, max_period=10000):
    half = embedding_dim // 2
    steps = torch.arange(half, dtype=torch.float64)
    angle = timesteps[:, None].double() * torch.exp(-math.log(max_period) * steps / (half - downscale_freq_shift))
    parts = [torch.cos(angle), torch.sin(angle)] if flip_sin_to_cos else [torch.sin(angle), torch.cos(angle)]
    return torch.cat(parts, dim=-1)


def rope_tables(embed_dim, crops_coords, grid_size, temporal_size, theta=10000, use_real=True, grid_type="linspace",
                max_size=None, device=None):
    def linspace(start, stop, count):
        return torch.linspace(start, stop, count, dtype=torch.float64)

    def axis(width, positions):
        inverse = theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
        return torch.outer(positions, inverse).repeat_interleave(2, dim=1)

    height, width = grid_size
    if grid_type == "linspace":
        (top, left), (bottom, right) = crops_coords
        rows = linspace(top, bottom * (height - 1) / height, height)
        columns = linspace(left, right * (width - 1) / width, width)
    else:
        rows, columns = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
    frames = torch.arange(temporal_size, dtype=torch.float64)
    t, h, w = axis(embed_dim // 4, frames), axis(embed_dim // 8 * 3, rows), axis(embed_dim // 8 * 3, columns)
    angle = torch.cat([
        t[:, None, None].expand(-1, height, width, -1),
        h[None, :, None].expand(len(frames), -1, width, -1),
        w[None, None, :].expand(len(frames), height, -1, -1),
    ], dim=-1).flatten(0, 2)
    return torch.cos(angle), torch.sin(angle)


def sincos_table(self, sample_height, sample_width, sample_frames, device=None):
    """Replaces CogVideoXPatchEmbed._get_positional_embeddings: the library divides positions in float32."""
    height, width = sample_height // self.patch_size, sample_width // self.patch_size
    frames = (sample_frames - 1) // self.temporal_compression_ratio + 1

    def axis(size, count, scale):
        omega = 10000.0 ** -(torch.arange(size // 2, dtype=torch.float64) / (size / 2))
        angle = torch.outer(torch.arange(count, dtype=torch.float64) / scale, omega)
        return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)

    dim = self.embed_dim
    t = axis(dim // 4, frames, self.temporal_interpolation_scale)[:, None, None].expand(-1, height, width, -1)
    # The width comes before the height.
    w = axis(dim * 3 // 8, width, self.spatial_interpolation_scale)[None, None].expand(frames, height, -1, -1)
    h = axis(dim * 3 // 8, height, self.spatial_interpolation_scale)[None, :, None].expand(frames, -1, width, -1)
    video = torch.cat([t, w, h], dim=-1).flatten(0, 2)
    return torch.cat([torch.zeros(self.max_text_seq_length, dim, dtype=torch.float64), video])[None]


@contextlib.contextmanager
def patched(run: str):
    """The library as `run` wants it. Models must be built inside: the sin-cos table is made by the constructor."""
    with contextlib.ExitStack() as stack:
        def replace(owner, name, value):
            stack.enter_context(mock.patch.object(owner, name, value))

        if run != "f32":
            replace(embeddings, "apply_rotary_emb", _rotate)
            replace(t5.T5LayerNorm, "forward", _rms_norm)
            replace(torch, "randn", _randn_of_f32)
        if run == "exact":
            replace(torch, "randn", exact_randn)
            replace(embeddings, "get_timestep_embedding", sinusoid)
            replace(embeddings.CogVideoXPatchEmbed, "_get_positional_embeddings", sincos_table)
            for module in (embeddings, pipeline_t2v, pipeline_i2v, pipeline_v2v):
                replace(module, "get_3d_rotary_pos_embed", rope_tables)
        with torch.no_grad():
            yield


class KeepDouble(torch.Tensor):
    """A model output on which the pipelines' .float() has no effect."""

    def float(self):
        return self.as_subclass(torch.Tensor)


def keep_double(transformer) -> None:
    forward = transformer.forward

    def wrapped(*args, **kwargs):
        return tuple(x.as_subclass(KeepDouble) for x in forward(*args, **kwargs))

    transformer.forward = wrapped
