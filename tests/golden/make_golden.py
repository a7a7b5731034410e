#!/usr/bin/env python3
"""Writes the fixtures of this folder from the reference implementation (see README.md).

    python make_golden.py                 everything
    python make_golden.py vae_a rng       these cases; the others stay as they are
    python make_golden.py --list

Needs the packages of requirements.txt. Running the C++ tests needs none of this. Two runs on one machine give
identical bytes.
"""

import argparse
import importlib
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

MODULES = ("transformer", "vae", "t5", "rng", "schedulers", "tokenizer", "pipelines", "resize", "keys", "gradients", "lora")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("cases", nargs="*", help="names as in --list; all if none")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--no-checks", action="store_true", help="skip the comparison with published check values")
    args = parser.parse_args()

    import diffusers
    import torch
    import transformers

    from maker import store

    torch.set_num_threads(1)
    torch.manual_seed(0)  # nothing may depend on it: modules initialise themselves before they are filled
    diffusers.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()

    modules = [importlib.import_module(f"maker.{name}") for name in MODULES]
    owner = {name: module for module in modules for name in module.NAMES}
    if args.list:
        print("\n".join(owner))
        return 0
    unknown = [name for name in args.cases if name not in owner]
    if unknown:
        print(f"error: no such case: {', '.join(unknown)}", file=sys.stderr)
        return 2
    wanted = args.cases or list(owner)
    checked = set()
    for name in wanted:
        module = owner[name]
        if module not in checked and hasattr(module, "check_published") and not args.no_checks:
            module.check_published()
            checked.add(module)
        start = time.time()
        size = module.make(name).write()
        print(f"{name:34} {size / 1024:9.1f} KiB {time.time() - start:7.1f} s", flush=True)
    print(f"total {store.write_manifest() / 2**20:.2f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
