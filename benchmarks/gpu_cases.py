"""What `gpu.py` measures, in the order of its worth, and what arithmetic says of each case."""

import dataclasses

from keras_pvt import flops
from keras_pvt.variants import VARIANTS

TORCH, JAX = "torch", "jax"
OURS, UPSTREAM, TIMM, HUGGING_FACE = "keras_pvt", "official", "timm", "hugging face"
INFERENCE, TRAINING = "inference", "training"
RETINANET, SEMANTIC_FPN = "RetinaNet", "Semantic FPN"
VARIANT, V2 = "pvt_small", "pvt_v2_b2"
DETECTOR_CLASSES, SEGMENTER_CLASSES = 80, 150
# Of bfloat16 without sparsity, multiply-adds counted twice, in 1/s, by a part of the device's name:
# NVIDIA's data sheets of each. The first part that fits counts.
PEAKS = {
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing to measure.

    Args:
        framework: `TORCH` or `JAX`.
        model: a variant, or `RETINANET` or `SEMANTIC_FPN` on `VARIANT`.
        contender: whose.
        kind: `INFERENCE` or `TRAINING`.
        compiled: on torch, whether by `torch.compile`; JAX always compiles.
        batch: images at once.
        size: their side in pixels.
        profiled: whether kernels are counted instead of images.
    """

    framework: str
    model: str
    contender: str = OURS
    kind: str = INFERENCE
    compiled: bool = False
    batch: int = 128
    size: int = 224
    profiled: bool = False

    @property
    def dense(self) -> bool:
        """Whether it is a detector or segmenter."""
        return self.model not in VARIANTS

    @property
    def who(self) -> str:
        """The contender and what runs it."""
        how = "JAX" if self.framework == JAX else "compiled" if self.compiled else "eager"
        return f"{self.contender}, {how}"

    @property
    def flops_of_an_image(self) -> float:
        """Operations of convolutions, dense layers and attention, a multiply-add being two; a
        gradient takes twice those of the forward pass."""
        if self.model == RETINANET:
            parts = flops.retinanet(VARIANTS[VARIANT], self.size, self.size, DETECTOR_CLASSES)
        elif self.model == SEMANTIC_FPN:
            parts = flops.semantic_fpn(VARIANTS[VARIANT], self.size, self.size, SEGMENTER_CLASSES)
        else:
            parts = flops.classifier(VARIANTS[self.model], self.size, self.size)
        return 2.0 * flops.total(parts).multiply_adds * (3 if self.kind == TRAINING else 1)


def plan(upstream: bool, rival: str | None, batch: int, other_batches: list[int]) -> list[Case]:
    """All cases of a run; where its time is over, those at the end are left out.

    Args:
        upstream: whether the official code is there.
        rival: whose PVTv2 is there besides, `TIMM` or `HUGGING_FACE`.
        batch: images at once.
        other_batches: what else `VARIANT` is measured with.
    """
    official = [UPSTREAM] * upstream
    names = {VARIANT: [OURS, *official], "pvt_tiny": [OURS, *official]}
    names[V2] = [OURS, *official] + ([rival] if rival else [])
    cases = []
    for variant in (VARIANT, V2):
        for kind in (TRAINING, INFERENCE):
            cases.append(Case(JAX, variant, kind=kind, batch=batch))
            for compiled in (True, False):
                cases += [
                    Case(TORCH, variant, who, kind, compiled, batch) for who in names[variant]
                ]
    cases += [
        Case(TORCH, VARIANT, OURS, TRAINING, compiled, batch, profiled=True)
        for compiled in (False, True)
    ]
    cases += [
        Case(framework, model, OURS, kind, batch=max(batch // 8, 1), size=512)
        for kind in (TRAINING, INFERENCE)
        for model in (RETINANET, SEMANTIC_FPN)
        for framework in (JAX, TORCH)
    ]
    for compiled, variant, number in [
        (False, "pvt_tiny", batch),
        *((False, VARIANT, other) for other in other_batches),
        (True, "pvt_tiny", batch),
    ]:
        for kind in (TRAINING, INFERENCE):
            if not compiled:
                cases.append(Case(JAX, variant, OURS, kind, batch=number))
            cases += [Case(TORCH, variant, who, kind, compiled, number) for who in names[variant]]
    return cases


def smoke(cases: list[Case]) -> list[Case]:
    """A case of each kind, small enough for any processor; only one is compiled."""
    kept: dict[tuple, Case] = {}
    for case in cases:
        plain = (VARIANT, OURS, INFERENCE)
        if case.compiled and (case.model, case.contender, case.kind) != plain:
            continue
        small = dataclasses.replace(case, batch=1, size=64)
        if case.model == VARIANT:
            small = dataclasses.replace(small, model="pvt_tiny")
        # `pvt_tiny` has the same code as `VARIANT`, which is deeper.
        key = (case.framework, small.model, case.contender, case.kind, case.compiled, case.profiled)
        kept.setdefault(key, small)
    return list(kept.values())


def peak(device: str) -> float | None:
    """Operations a second that a device can do at most in bfloat16; None: it is not known."""
    return next((value for part, value in PEAKS.items() if part in device), None)
