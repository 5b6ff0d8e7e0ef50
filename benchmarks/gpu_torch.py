"""What `gpu.py` measures on PyTorch: seconds of a call, peak memory, and time by kind of kernel."""

import collections
import contextlib
import gc
import pathlib
import time
from collections.abc import Callable

import contenders
import gpu_dense
import keras
import torch
from gpu_cases import HUGGING_FACE, INFERENCE, OURS, TIMM, UPSTREAM, Case

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
STEPS = 5  # between two looks at the clock, as calls return before the device is done
# Kinds of kernels, by parts of their names, or of an operation's where a processor computes. The
# first that fits counts: kernels of attention and convolution are matrix products too.
KINDS = {
    "attention": ("flash", "fmha", "attention", "sdpa", "mha"),
    "convolution": ("conv", "wgrad", "dgrad", "fprop", "dwise", "depthwise", "im2col"),
    "matrix product": ("gemm", "cutlass", "nvjet", "cublas", "xmma", "aten::mm", "addmm", "bmm"),
    "layer norm": ("layer_norm", "layernorm", "rowwisemoments", "gammabeta"),
    "optimizer": ("multi_tensor", "adam"),
    "reduction": ("reduce", "triton_red", "triton_per", "aten::sum", "softmax"),
    "copy": ("memcpy", "memset", "copy", "cat", "transpose", "permute"),
    "elementwise": ("elementwise", "triton_poi", "gelu", "aten::add", "aten::mul", "fill"),
}
OTHER = "other"


def device_name() -> str:
    """The name of the device."""
    return torch.cuda.get_device_name() if CUDA else "CPU"


def version() -> str:
    """Of the framework, and of what it computes with."""
    return f"PyTorch {torch.__version__}" + (f", CUDA {torch.version.cuda}" if CUDA else "")


def measure(case: Case, seconds: float, upstream: pathlib.Path | None) -> dict:
    """What a case takes.

    Args:
        case: one of `gpu_cases.TORCH`.
        seconds: how long to go on, after the warm-up; 0 is one call.
        upstream: checkout of whai362/PVT.
    Returns:
        "seconds" of a call and "memory" in bytes, None where it is not known; of a profiled case
        "kernels", the share of time by kind.
    """
    gc.collect()
    torch.compiler.reset()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    call = _call(case, upstream)
    for _ in range(3 if seconds else 1):
        call()
    _wait()
    if case.profiled:
        return {"kernels": _kernels(call)}
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < (3 if seconds else 1):
        start = time.perf_counter()
        for _ in range(STEPS if CUDA else 1):
            call()
        _wait()
        times.append((time.perf_counter() - start) / (STEPS if CUDA else 1))
    memory = torch.cuda.max_memory_allocated() if CUDA else None
    return {"seconds": sorted(times)[len(times) // 2], "memory": memory}


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def _call(case: Case, upstream: pathlib.Path | None) -> Callable:
    """An inference call or a training step. Ours has the policy of the process, which others follow
    by autocast."""
    if case.dense:
        return gpu_dense.call(case)
    shape = (case.batch, case.size, case.size, 3)
    x = torch.randn(*shape, device=DEVICE)
    training = case.kind != INFERENCE
    if case.contender == OURS:
        model = contenders.build_ours(contenders.Case(case.model, case.size))
        parameters = [v.value for v in model.trainable_variables]
        rounding = contextlib.nullcontext

        def forward(x):
            return model(x, training=training)
    else:
        module = _rival(case, upstream).to(DEVICE).train(training)
        parameters = list(module.parameters())
        x = x.permute(0, 3, 1, 2).contiguous()

        def rounding():
            halved = keras.config.dtype_policy().compute_dtype == "bfloat16"
            return torch.autocast(DEVICE, torch.bfloat16, enabled=halved)

        def forward(x):
            outputs = module(x)
            return getattr(outputs, "logits", outputs)

    # For a processor, C++ would be compiled for minutes: there it is only seen to be traced.
    compiler = "inductor" if CUDA else "aot_eager"
    run = torch.compile(forward, backend=compiler) if case.compiled else forward
    if not training:

        def infer():
            with torch.no_grad(), rounding():
                return run(x)

        return infer
    y = torch.randint(0, 1000, (case.batch,), device=DEVICE)
    optimizer = torch.optim.AdamW(parameters, 1e-4, weight_decay=0.05, fused=CUDA)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with rounding():
            logits = run(x)
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        optimizer.step()

    return step


def _rival(case: Case, upstream: pathlib.Path | None) -> torch.nn.Module:
    if case.contender == TIMM:
        # By the module's own function: the official code has put its models under the same names
        # where timm is there.
        import timm.models.pvt_v2

        return getattr(timm.models.pvt_v2, case.model)(pretrained=False)
    name = {UPSTREAM: contenders.UPSTREAM, HUGGING_FACE: contenders.HUGGING_FACE}[case.contender]
    return contenders.torch_model(name, contenders.Case(case.model, case.size), upstream)


def _kernels(call: Callable) -> dict[str, float]:
    """Share of the time of a call by kind of kernel."""
    from torch.profiler import ProfilerActivity, profile

    kind = ProfilerActivity.CUDA if CUDA else ProfilerActivity.CPU
    with profile(activities=[kind]) as profiled:
        call()
        _wait()
    taken: collections.Counter = collections.Counter()
    for event in profiled.key_averages():
        time_of = event.self_device_time_total if CUDA else event.self_cpu_time_total
        taken[kind_of(event.key)] += time_of
    total = taken.total()
    return {name: value / total for name, value in taken.most_common()}


def kind_of(kernel: str) -> str:
    """The kind of a kernel, by its name."""
    name = kernel.lower()
    return next((kind for kind, parts in KINDS.items() if any(p in name for p in parts)), OTHER)
