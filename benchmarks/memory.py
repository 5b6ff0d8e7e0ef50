"""Peak memory of one contender, alone in this process; `inference.py` runs it once for each.

Prints, in MiB, how far the peak of resident memory lies above what is there before the model is
built: weights, activations of three forward passes and, where there is one, the compiler.
"""

import argparse
import gc
import pathlib
import re

import contenders
import timing


def memory(field: str) -> float:
    """A figure of this process in MiB: "VmRSS", resident now, or "VmHWM", the most so far."""
    # Not `getrusage`: its peak begins with that of the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender")
    parser.add_argument("variant")
    parser.add_argument("size", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--upstream", type=pathlib.Path)
    args = parser.parse_args()
    timing.limit_threads(args.threads)
    # Imports, and what a library sets up at its first model, are not the model's.
    contenders.prepare(args.contender, contenders.Case("pvt_tiny", 64), args.upstream)()
    gc.collect()
    before = memory("VmRSS")
    call = contenders.prepare(
        args.contender, contenders.Case(args.variant, args.size), args.upstream
    )
    for _ in range(3):
        call()
    print(memory("VmHWM") - before)


if __name__ == "__main__":
    main()
