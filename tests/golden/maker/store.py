"""One folder per case: case.json (how to repeat the run, what each tensor means) and tensors.safetensors."""

import hashlib
import itertools
import json
import math
import platform
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[1]

# Tensors above this many elements are stored as every k-th element plus sums: the whole would not say more.
WHOLE_LIMIT = 24_576


def round_up(value: float) -> float:
    """Three significant digits, never smaller: a bound must stay one, and short numbers keep the files readable."""
    if value == 0.0:
        return 0.0
    if not math.isfinite(value):
        raise ValueError("a reference run gave infinity or NaN")
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step) * step:.2e}")


def sampling_stride(shape, wanted: float) -> int:
    """At least `wanted`, and coprime to the sizes: the samples walk through every row, column, frame and channel."""
    return next(n for n in itertools.count(math.ceil(wanted)) if math.gcd(n, math.prod(shape)) == 1)


def distance(a, b) -> float:
    a, b = (torch.as_tensor(x).to(torch.float64) for x in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"runs disagree in shape: {tuple(a.shape)} and {tuple(b.shape)}")
    return float((a - b).abs().max()) if a.numel() else 0.0


def plain_config(module) -> dict:
    """The config.json the reference would write for this component."""
    return json.loads(module.to_json_string())


class Case:
    def __init__(self, name: str, kind: str, about: str):
        self.name = name
        self.json = {"case": name, "kind": kind, "about": about}
        self.entries: dict = {}
        self.arrays: dict[str, np.ndarray] = {}

    def set(self, **fields) -> "Case":
        self.json.update(fields)
        return self

    def add(self, name: str, value, meaning: str, *, runs: dict | None = None, whole: bool = False,
            limit: int | None = None):
        """Stores a tensor. Floating values become float32 unless they are tables of the reference in double.

        runs: further evaluations of the same quantity. "f32" is the reference in float32 and gives `spread`;
        "exact" has position tables, time tables and noise in double too and gives `tables`.
        """
        if name in self.arrays:
            raise ValueError(f"{self.name}: {name} stored twice")
        value = (value if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))).detach()
        entry: dict = {"shape": list(value.shape), "meaning": meaning}
        if value.is_floating_point():
            if not torch.isfinite(value).all():
                raise ValueError(f"{self.name}: {name} is not finite")
            if runs and "f32" in runs:
                entry["spread"] = round_up(distance(runs["f32"], value))
            if runs and "exact" in runs:
                entry["tables"] = round_up(distance(runs["exact"], value))
        array = value.numpy()
        if runs is not None and array.dtype == np.float64:
            array = array.astype(np.float32)
        array = np.ascontiguousarray(array)
        if not whole and array.size > (limit or WHOLE_LIMIT):
            stride = sampling_stride(array.shape, array.size / (limit or WHOLE_LIMIT))
            flat = value.reshape(-1).to(torch.float64)
            entry["stride"] = stride
            entry["sum"] = float(flat.sum())
            entry["abs_sum"] = float(flat.abs().sum())
            array = np.ascontiguousarray(array.reshape(-1)[::stride])
        self.entries[name] = entry
        self.arrays[name] = array

    def write(self, root: Path = ROOT) -> int:
        folder = root / self.name
        folder.mkdir(parents=True, exist_ok=True)
        content = dict(self.json)
        if self.entries:
            content["tensors"] = self.entries
            save_file(dict(sorted(self.arrays.items())), str(folder / "tensors.safetensors"))
        (folder / "case.json").write_text(to_json(content))
        return sum(f.stat().st_size for f in folder.iterdir())


def to_json(value, indent: int = 0, width: int = 118) -> str:
    """JSON with short containers on one line and everything non-ASCII escaped. Ends with a newline at the top."""
    text = _layout(value, 0, width)
    return text + "\n"


def _layout(value, depth: int, width: int) -> str:
    flat = json.dumps(value, ensure_ascii=True, allow_nan=False)
    if len(flat) + 2 * depth <= width or not isinstance(value, (dict, list)) or not value:
        return flat
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(str(k))}: {_layout(v, depth + 1, width)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"
    if all(isinstance(v, (int, float)) for v in value):  # number lists are filled, not one per line
        lines, line = [], pad
        for i, v in enumerate(value):
            item = json.dumps(v) + (", " if i + 1 < len(value) else "")
            if len(line) + len(item) > width:
                lines.append(line.rstrip())
                line = pad
            line += item
        return "[\n" + "\n".join([*lines, line.rstrip()]) + "\n" + "  " * depth + "]"
    return "[\n" + ",\n".join(pad + _layout(v, depth + 1, width) for v in value) + "\n" + "  " * depth + "]"


def write_manifest(root: Path = ROOT) -> int:
    """Lists what lies on disk, so that a run for a few cases leaves the rest in place. Returns the total size."""
    packages = ["torch", "diffusers", "transformers", "tokenizers", "sentencepiece", "safetensors", "numpy", "pillow"]
    cases, total = {}, 0
    for path in sorted(root.glob("*/case.json")):
        files = {}
        for file in sorted(path.parent.iterdir()):
            data = file.read_bytes()
            files[file.name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            total += len(data)
        content = json.loads(path.read_text())
        cases[content["case"]] = {"kind": content["kind"], "about": content["about"], "files": files}
    manifest = {
        "versions": {"python": platform.python_version(), **{p: metadata.version(p) for p in packages}},
        "bytes": total,
        "cases": cases,
    }
    (root / "manifest.json").write_text(to_json(manifest))
    return total
