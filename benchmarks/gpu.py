"""PVT on one GPU: images a second, MFU and memory, on PyTorch and JAX, beside the official code.

PVT-Small, PVTv2-B2 and PVT-Tiny in bfloat16: inference, and a training step with AdamW, eager and
under `torch.compile`, and by JAX; the official code, and timm's or transformers' PVTv2, in the same
run; RetinaNet and Semantic FPN on PVT-Small at 512 pixels as Keras runs them; and which kinds of
kernels take the time of a training step. Weights and images are random, nothing is dropped, and
data are on the device. The official code and others' run under autocast. Each framework has a
process and a share of `--minutes`; the most telling cases come first, and those that time does not
reach, or that fail, are named. With --page the tables are written into docs/gpu.md too.

The GPU's machine needs PyTorch and JAX with CUDA, a checkout of this project, and where it has no
network these wheels beside it (PyTorch and JAX bring numpy, ml-dtypes and packaging):

  pip download --no-deps --only-binary=:all: --python-version 3.12 -d wheels \\
      --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform any \\
      keras==3.15.1 absl-py h5py namex optree rich markdown-it-py mdurl pygments
  python -m pip install --no-index --no-deps --target site wheels/*.whl
  PYTHONPATH=site:. python benchmarks/gpu.py --upstream PVT --page docs/gpu.md
"""

import argparse
import dataclasses
import datetime
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import gpu_cases
from gpu_cases import HUGGING_FACE, JAX, OURS, TIMM, TORCH, UPSTREAM, Case

EXAMPLES = """examples:
  python benchmarks/gpu.py --upstream ~/PVT --page docs/gpu.md
  python benchmarks/gpu.py --frameworks torch --minutes 4 --batch 64 --other-batches
  python benchmarks/gpu.py --smoke
"""
# Of the time, by framework: torch has more cases, and compiles them longer.
SHARES = {TORCH: 0.68, JAX: 0.32}
BEGIN, END = "<!-- measured by benchmarks/gpu.py -->\n", "<!-- end of what was measured -->"
# A process that does not come back from a case is ended so many seconds after its time.
GRACE = 20
GIB = 2**30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--upstream", type=pathlib.Path, help="a checkout of whai362/PVT, branch v2")
    add("--frameworks", nargs="+", choices=list(SHARES), default=list(SHARES))
    add("--minutes", type=float, default=8.0, help="for all, at most (8)")
    add("--seconds", type=float, default=2.0, help="to time a case, after its warm-up (2)")
    add("--batch", type=int, default=128, help="images at once (128)")
    add("--other-batches", type=int, nargs="*", default=[64, 256], help="of PVT-Small (64 256)")
    add("--page", type=pathlib.Path, help="a document with marks that the tables go between")
    add("--smoke", action="store_true", help="small and in float32: does it run?")
    add("--worker", choices=list(SHARES), help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.upstream and not (options.upstream / "classification" / "pvt_v2.py").is_file():
        raise SystemExit(f"{options.upstream} is no checkout of whai362/PVT with PVTv2.")
    if options.worker:
        _work(options)
        return
    page = None if options.page is None else options.page.read_text("utf-8")
    if page is not None and not (page.count(BEGIN) == page.count(END) == 1):
        raise SystemExit(f"{options.page} has no marks for the tables: {BEGIN}...{END}")
    total = sum(SHARES[name] for name in options.frameworks)
    lines: list[dict] = []
    for name in options.frameworks:
        lines += _run(name, 60 * options.minutes * SHARES[name] / total)
    text = tables(lines)
    print(text)
    if page is not None:
        before, rest = page.split(BEGIN)
        options.page.write_text(before + BEGIN + text + rest[rest.index(END) :], "utf-8")


def _cases(options: argparse.Namespace) -> list[Case]:
    """The cases of a worker."""
    rival = next((name for name, needs in RIVALS.items() if all(map(_is_there, needs))), None)
    if options.smoke:
        cases = gpu_cases.smoke(gpu_cases.plan(options.upstream is not None, rival, 2, []))
    else:
        there, others = options.upstream is not None, options.other_batches
        cases = gpu_cases.plan(there, rival, options.batch, others)
    return [case for case in cases if case.framework == options.worker]


# What each needs to be imported.
RIVALS = {TIMM: ("timm", "torchvision"), HUGGING_FACE: ("transformers",)}


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _run(framework: str, seconds: float) -> list[dict]:
    """What a framework's process says, a line for each case; it is ended when its time is over."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": framework,
        "PYTHONUNBUFFERED": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # Else nothing is left to the other framework.
    }
    command = [sys.executable, "-W", "ignore", __file__, *sys.argv[1:], "--worker", framework]
    command += ["--minutes", str(seconds / 60)]
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    timer = threading.Timer(seconds + GRACE, process.kill)
    timer.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        try:
            lines.append(json.loads(line))
        except ValueError:  # what a library prints
            print(line, end="", file=sys.stderr)
            continue
        print(_progress(lines[-1]), file=sys.stderr, flush=True)
    timer.cancel()
    if process.wait():
        lines.append({"framework": framework, "failed": f"its process ended, {process.returncode}"})
    return lines


def _progress(line: dict) -> str:
    what = " ".join(str(line[key]) for key in ("model", "who", "kind") if key in line)
    if "seconds" in line:
        return f"{what}: {line['batch'] / line['seconds']:,.0f} images/s"
    return f"{line['framework']} {what}: {line.get('failed', 'done')}"


def _work(options: argparse.Namespace) -> None:
    """Measure the cases of a framework, and print a line of JSON for each."""
    end = time.monotonic() + 60 * options.minutes
    import keras

    # Processors without instructions for bfloat16 take minutes with it.
    keras.config.set_dtype_policy("float32" if options.smoke else "mixed_bfloat16")
    measured = importlib.import_module(f"gpu_{options.worker}")
    device = {"device": measured.device_name(), "version": measured.version()}
    print(json.dumps({"framework": options.worker, **device, "keras": keras.__version__}))
    for case in _cases(options):
        line = dataclasses.asdict(case) | {"who": case.who}
        if time.monotonic() > end:
            line["failed"] = "not measured, as time was over"
        else:
            try:
                line |= measured.measure(
                    case, 0.0 if options.smoke else options.seconds, options.upstream
                )
            except Exception as error:  # of any library: what fails is named, and the rest goes on
                line["failed"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        if "seconds" in line and (peak := gpu_cases.peak(device["device"])):
            rate = case.batch / line["seconds"]
            line["mfu"] = rate * case.flops_of_an_image / peak
        print(json.dumps(line))


def tables(lines: list[dict]) -> str:
    """Markdown of what was measured.

    Args:
        lines: of all processes, see `_work`.
    """
    heads = [line for line in lines if "version" in line]
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    devices = " and ".join(dict.fromkeys(line["device"] for line in heads))
    versions = ", ".join(line["version"] for line in heads)
    text = [f"{devices}; {versions}, Keras {heads[0]['keras']}; {date}.", ""] if heads else []
    timed = [line for line in lines if "seconds" in line]
    order = {case: n for n, case in enumerate(dict.fromkeys(map(_group, timed)))}
    text += [
        "| model | pixels, batch | what | by | ms | images/s | / official, compiled | MFU | GiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in sorted(timed, key=lambda line: (order[_group(line)], line["seconds"])):
        rival = next((other for other in timed if _is_goal(other, line)), None)
        ratio = f"{rival['seconds'] / line['seconds']:.2f}" if rival else ""
        memory = f"{line['memory'] / GIB:.2f}" if line["memory"] else ""
        mfu = f"{line['mfu']:.1%}" if "mfu" in line else ""
        cells = [line["model"], f"{line['size']}, {line['batch']}", line["kind"], line["who"]]
        cells += [f"{1000 * line['seconds']:.1f}", f"{line['batch'] / line['seconds']:,.0f}"]
        text.append("| " + " | ".join([*cells, ratio, mfu, memory]) + " |")
    for line in lines:
        if "kernels" in line:
            shares = ", ".join(f"{kind} {share:.1%}" for kind, share in line["kernels"].items())
            text += ["", f"Time of a training step, {line['model']}, {line['who']}: {shares}."]
    failed = [f"- {_progress(line)}" for line in lines if "failed" in line]
    text += ["", "Not measured:", "", *failed] if failed else []
    return "\n".join(text) + "\n"


def _group(line: dict) -> tuple:
    return tuple(line[key] for key in ("model", "kind", "size", "batch"))


def _is_goal(other: dict, line: dict) -> bool:
    """Whether it is the official code's, compiled, of the same case."""
    goal = (UPSTREAM, True)
    is_ours = line["contender"] == OURS
    return (
        is_ours
        and (other["contender"], other["compiled"]) == goal
        and _group(other) == _group(line)
    )


if __name__ == "__main__":
    main()
