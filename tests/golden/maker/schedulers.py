"""CogVideoXDDIMScheduler and CogVideoXDPMScheduler: tables, time steps, single steps, noise, guidance curve."""

import math

import numpy as np
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from diffusers.schedulers import scheduling_dpm_cogvideox

from . import filler
from .store import Case

NAMES = ["scheduler_tables", "scheduler_timesteps", "scheduler_steps", "scheduler_noise", "guidance"]

PUBLISHED = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                 prediction_type="v_prediction", rescale_betas_zero_snr=True, set_alpha_to_one=True, steps_offset=0,
                 clip_sample=False, timestep_spacing="trailing", snr_shift_scale=1.0)
SHAPE = (1, 3, 2, 1, 4)
SPACINGS = ("trailing", "linspace", "leading")


def config_of(**changes) -> dict:
    return {**PUBLISHED, **changes}


def make_tables() -> Case:
    case = Case("scheduler_tables", "scheduler", "cumulative alphas in double, after shift and rescaling")
    tables = {
        "snr1": {}, "snr3": dict(snr_shift_scale=3.0), "snr1.not_rescaled": dict(rescale_betas_zero_snr=False),
        "snr3.not_rescaled": dict(snr_shift_scale=3.0, rescale_betas_zero_snr=False),
        "train100": dict(num_train_timesteps=100),
        "linear": dict(beta_schedule="linear"), "squaredcos": dict(beta_schedule="squaredcos_cap_v2"),
    }
    case.set(call={name: config_of(**changes) for name, changes in tables.items()})
    for name, changes in tables.items():
        table = CogVideoXDDIMScheduler(**config_of(**changes)).alphas_cumprod
        # "linear" and "squaredcos" are float32 in the library itself.
        case.add(name, table, "alphas_cumprod [num_train_timesteps]", whole=True)
    return case


def timesteps_of(spacing: str, steps: int, **changes) -> torch.Tensor:
    scheduler = CogVideoXDDIMScheduler(**config_of(timestep_spacing=spacing, **changes))
    scheduler.set_timesteps(steps)
    return scheduler.timesteps


def make_timesteps() -> Case:
    case = Case("scheduler_timesteps", "scheduler", "time steps of every spacing")
    lists = {spacing: {str(n): timesteps_of(spacing, n).tolist() for n in (1, 2, 3, 7, 50, 61)} for spacing in SPACINGS}
    lists["leading, steps_offset 1"] = {str(n): timesteps_of("leading", n, steps_offset=1).tolist() for n in (1, 7, 50)}
    case.set(call=config_of(), lists=lists)
    for spacing in SPACINGS:
        lengths, hashes = [], []
        for n in range(1, 1001):
            steps = timesteps_of(spacing, n)
            lengths.append(len(steps))
            hashes.append(filler.fnv1a64(steps.numpy().astype("<i8").tobytes()))
        case.add(f"{spacing}.length", np.array(lengths, dtype=np.int32), "entries for 1..1000 steps", whole=True)
        case.add(f"{spacing}.hash", np.array(hashes, dtype=np.uint64).astype(np.int64),
                 "FNV-1a 64 of the entries as little-endian int64, for 1..1000 steps (bits of a uint64)", whole=True)
    return case


# name -> (scheduler, steps, changes to the published config, steps whose result is stored)
STEPS = {
    f"{kind}.snr{snr}.{n}": (kind, n, dict(snr_shift_scale=float(snr)), kept)
    for kind in ("ddim", "dpm") for snr in (1, 3) for n, kept in ((5, None), (50, (0, 1, 2, 9, 24, 47, 48, 49)))
}
STEPS |= {
    # 7 does not divide 1000: the step goes to t - 142, not to the next entry, and does not end at zero noise.
    f"{kind}.seven": (kind, 7, {}, None) for kind in ("ddim", "dpm")
}
STEPS |= {
    # 61 gives a 62nd entry, t = -1, whose cumulative alpha is the last of the table.
    f"{kind}.sixty_one": (kind, 61, {}, (0, 1, 2, 30, 59, 60, 61)) for kind in ("ddim", "dpm")
}
STEPS |= {
    f"{kind}.{prediction}": (kind, 4, dict(prediction_type=prediction, rescale_betas_zero_snr=False), None)
    for kind in ("ddim", "dpm") for prediction in ("epsilon", "sample")
}
STEPS |= {
    f"{kind}.leading": (kind, 4, dict(timestep_spacing="leading", set_alpha_to_one=False, snr_shift_scale=3.0), None)
    for kind in ("ddim", "dpm")
}


def walk(kind: str, steps: int, changes: dict, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(sample, predicted original) after each step, every step fed with the result of the previous one."""
    cls = CogVideoXDDIMScheduler if kind == "ddim" else CogVideoXDPMScheduler
    scheduler = cls(**config_of(**changes))
    scheduler.set_timesteps(steps)
    sample = filler.input_tensor("in.sample", SHAPE, dtype)
    old, results = None, []
    for i, t in enumerate(scheduler.timesteps):
        output = filler.input_tensor(f"in.model_output.{i}", SHAPE, dtype)
        draws = iter((0, 1))

        def draw(shape, **_):
            return filler.input_tensor(f"in.noise.{i}.{next(draws)}", shape, dtype)

        if kind == "ddim":
            sample, original = scheduler.step(output, t, sample, return_dict=False)
        else:
            saved, scheduling_dpm_cogvideox.randn_tensor = scheduling_dpm_cogvideox.randn_tensor, draw
            try:
                back = scheduler.timesteps[i - 1] if i > 0 else None
                sample, old = scheduler.step(output, old, t, back, sample)
            finally:
                scheduling_dpm_cogvideox.randn_tensor = saved
            original = old
        results.append((sample, original))
    return results


def make_steps() -> Case:
    case = Case("scheduler_steps", "scheduler", "chains of scheduler steps with given model outputs and noise").set(
        inputs="in.sample, in.model_output.<step>, in.noise.<step>.<draw 0 or 1>, all of the shape given",
        shape=list(SHAPE), call={})
    for name, (kind, steps, changes, kept) in STEPS.items():
        double = walk(kind, steps, changes, torch.float64)
        single = walk(kind, steps, changes, torch.float32)
        kept = kept or range(len(double))
        case.json["call"][name] = {"scheduler": kind, "steps": steps, "config": config_of(**changes),
                                   "kept": list(kept)}
        for position, what in ((0, "sample"), (1, "original")):
            meaning = f"{('next sample', 'predicted original sample')[position]} at the kept steps [kept, ...]"
            case.add(f"{name}.{what}", torch.stack([double[i][position] for i in kept]), meaning,
                     runs={"f32": torch.stack([single[i][position] for i in kept])})
    return case


def make_noise() -> Case:
    times = [0, 1, 19, 500, 998, 999]
    case = Case("scheduler_noise", "scheduler", "add_noise and get_velocity").set(
        inputs={"in.sample": [len(times), 5], "in.noise": [len(times), 5]}, call={"timesteps": times})
    t = torch.tensor(times)
    for snr in (1, 3):
        runs = {}
        for run, dtype in (("f64", torch.float64), ("f32", torch.float32)):
            scheduler = CogVideoXDPMScheduler(**config_of(snr_shift_scale=float(snr)))
            sample, noise = (filler.input_tensor(n, (len(times), 5), dtype) for n in ("in.sample", "in.noise"))
            runs[run] = scheduler.add_noise(sample, noise, t), scheduler.get_velocity(sample, noise, t)
        for position, what in ((0, "noisy"), (1, "velocity")):
            case.add(f"snr{snr}.{what}", runs["f64"][position], "one row per time step",
                     runs={"f32": runs["f32"][position]})
    return case


def dynamic_guidance(scale: float, steps: int, t: int) -> float:
    """The expression of the pipelines."""
    return 1 + scale * ((1 - math.cos(math.pi * ((steps - t) / steps) ** 5.0)) / 2)


def make_guidance() -> Case:
    curves = {"n50": (6.0, 50, timesteps_of("trailing", 50)), "n7": (4.5, 7, timesteps_of("trailing", 7)),
              "n30_of_50": (6.0, 30, timesteps_of("trailing", 50)[20:])}
    case = Case("guidance", "scheduler", "dynamic guidance; n30_of_50 is video-to-video at strength 0.6")
    case.set(call={name: {"scale": scale, "steps": steps, "timesteps": timesteps.tolist()}
                   for name, (scale, steps, timesteps) in curves.items()})
    for name, (scale, steps, timesteps) in curves.items():
        values = np.array([dynamic_guidance(scale, steps, t) for t in timesteps.tolist()])
        case.add(name, values, "guidance at each time step, double", whole=True)
    return case


def make(name: str) -> Case:
    return {"scheduler_tables": make_tables, "scheduler_timesteps": make_timesteps, "scheduler_steps": make_steps,
            "scheduler_noise": make_noise, "guidance": make_guidance}[name]()


def check_published() -> None:
    table = CogVideoXDDIMScheduler(**config_of(snr_shift_scale=3.0)).alphas_cumprod
    for t, value in ((0, 0.997454327643), (499, 0.0959695616907), (998, 6.2307884674e-08), (999, 0.0)):
        if abs(float(table[t]) - value) > 1e-12:
            raise AssertionError(f"cumulative alpha at {t}: {float(table[t])} instead of {value}")
    for t, value in ((999, 2.291487), (979, 2.543503), (19, 1.123398)):
        if abs(dynamic_guidance(6.0, 50, t) - value) > 1e-6:
            raise AssertionError(f"dynamic guidance at {t}")
