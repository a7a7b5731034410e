"""Deterministic numbers from names, so that neither weights nor inputs have to be stored.

tests/support/filler.hpp is the same in C++; both must agree in every bit. Values are made in double; the
cases round them to float32 before use, because that is what a float32 weight file would hold.
"""

import math

import numpy as np
import torch

_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def fnv1a64(data: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def bits(name: str, count: int) -> np.ndarray:
    """Outputs 0..count-1 of splitmix64, started at the FNV-1a hash of the name."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name.encode())) + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_RATIO
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return z ^ (z >> np.uint64(31))


def uniform(name: str, count: int) -> np.ndarray:
    """In [0, 1), multiples of 2^-24."""
    return (bits(name, count) >> np.uint64(40)).astype(np.float64) / 2.0**24


def parameter(name: str, shape) -> np.ndarray:
    """Norm weights near 1, matrices of variance 1/fan_in: activations stay of order one through any depth."""
    shape = tuple(shape)
    centred = uniform(name, math.prod(shape)) - 0.5
    if name == "patch_embed.pos_embedding":
        values = 0.2 * centred
    elif len(shape) == 1:
        values = 0.2 * centred
        if name.rsplit(".", 1)[-1] == "weight":
            values = 1.0 + values
    else:
        fan_in = math.prod(shape[1:])
        values = centred * 2.0 * math.sqrt(3.0 / fan_in)
    return values.reshape(shape)


def inputs(name: str, shape) -> np.ndarray:
    """Mean 0, variance 1."""
    shape = tuple(shape)
    return ((uniform(name, math.prod(shape)) - 0.5) * math.sqrt(12.0)).reshape(shape)


def pixels(name: str, shape) -> np.ndarray:
    """Bytes: the top eight bits of each output."""
    shape = tuple(shape)
    return (bits(name, math.prod(shape)) >> np.uint64(56)).astype(np.uint8).reshape(shape)


def input_tensor(name: str, shape, dtype=torch.float32) -> torch.Tensor:
    """The input as the float32 it would be in a file, held in the given dtype."""
    return torch.from_numpy(inputs(name, shape).astype(np.float32)).to(dtype)


def fill_module(module: torch.nn.Module, rounded: bool = True) -> torch.nn.Module:
    """Fills every entry of the state dict by its key. rounded=False keeps 53 bits, as the published check values do."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            values = parameter(name, tensor.shape)
            if rounded:
                values = values.astype(np.float32)
            tensor.copy_(torch.from_numpy(values).to(tensor.dtype))
    return module
