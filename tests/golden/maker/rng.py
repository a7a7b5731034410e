"""torch.Generator on the CPU, float32 randn: the stream the pipelines draw their noise from, as torch rounds it."""

import torch

from . import reference
from .store import Case

NAMES = ["rng"]

# Each entry is one generator and the sizes of its successive draws. Below 16 elements torch uses another
# method, which keeps a spare value; its uses before, between and after long draws are covered.
STREAMS = [
    (0, [32]), (1, [10]), (1, [20]), (42, [32]), (42, [1000]), (7, [16]), (7, [17]),
    (2**32 + 7, [17]), (2**63 - 1, [20]),
    (123, [1, 1, 1]), (123, [3, 16, 2, 33, 1, 1, 20]), (5, [15, 15]), (5, [16, 15, 1, 16]), (9, [31, 48, 7, 7]),
    (2024, [624, 624, 5]), (2024, [1253]),
]


def make(name: str) -> Case:
    case = Case(name, "rng", "torch CPU generator, float32 randn").set(
        call=[{"seed": seed, "draws": sizes, "tensor": f"stream{i}"} for i, (seed, sizes) in enumerate(STREAMS)])
    for i, (seed, sizes) in enumerate(STREAMS):
        generator = torch.Generator().manual_seed(seed)
        drawn = [torch.randn(n, generator=generator) for n in sizes]
        exact = [reference.exact_randn((n,), generator, torch.float64) for n in sizes]
        case.add(f"stream{i}", torch.cat(drawn), f"seed {seed}: the draws one after the other", whole=True,
                 runs={"exact": torch.cat(exact)})
    return case


def check_published() -> None:
    values = torch.randn(32, generator=torch.Generator().manual_seed(42))[:6]
    expected = torch.tensor([1.9269, 1.4873, 0.9007, -2.1055, 0.6784, -1.2345])
    if (values - expected).abs().max() > 1e-4:
        raise AssertionError("torch draws other numbers than it used to")
