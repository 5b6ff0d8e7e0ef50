"""Peak memory of contenders, each alone in a process: `table` runs this file once for each.

It prints, in MiB, how far the peak of resident memory lies above what is there before the model is
built: weights, activations of three forward passes or training steps and, where there is one, the
compiler.
"""

import argparse
import gc
import pathlib
import re
import subprocess
import sys

import contenders
import timing
from table import Table


def table(cases, names, upstream: pathlib.Path | None, threads: int, training=False) -> None:
    """Print the peaks of contenders in some cases.

    Args:
        cases: each a `contenders.Case`.
        names: of the contenders.
        upstream: see `contenders.prepare`.
        threads: cores to use.
        training: whether each trains.
    """
    rows = Table("peak memory: model, pixels, batch", names, "MiB")
    for case in cases:
        figures = {}
        for name in names:
            command = [sys.executable, __file__, name, case.variant, str(case.size)]
            command += ["--batch", str(case.batch), "--threads", str(threads)]
            command += ["--upstream", upstream] if upstream else []
            command += ["--training"] if training else []
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[name] = float(result.stdout.split()[-1])
        rows.row(f"{case.variant}, {case.size}, {case.batch}", figures)


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
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--training", action="store_true", help="training steps, not predictions")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--upstream", type=pathlib.Path)
    args = parser.parse_args()
    timing.limit_threads(args.threads)
    prepare = contenders.prepare_step if args.training else contenders.prepare
    # Imports, and what a library sets up at its first model, are not the model's.
    prepare(args.contender, contenders.Case("pvt_tiny", 64), args.upstream)()
    gc.collect()
    before = memory("VmRSS")
    case = contenders.Case(args.variant, args.size, args.batch)
    call = prepare(args.contender, case, args.upstream)
    for _ in range(3):
        call()
    print(memory("VmHWM") - before)


if __name__ == "__main__":
    main()
