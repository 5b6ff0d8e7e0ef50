"""PyTorch: a process for each device, started by torchrun, by `DistributedDataParallel`."""

import os

import keras
import numpy as np
import torch
import torch.distributed as dist

from keras_pvt.training.distribution.replica import Replica
from keras_pvt.training.distribution.strategy import Strategy, seed_states, varied


class DDP(Strategy):
    """Each process has all weights and a part of the batch; gradients are averaged.

    Processes on GPUs talk by NCCL, each on the GPU of its LOCAL_RANK; others by gloo. The
    weights that all begin with are those of the first process. Non-trainable weights stay as
    each process has them: of these, a PVT has seeds only.

    Raises:
        ValueError: the program was not started by torchrun, or by more processes than GPUs.
    """

    name = "ddp"

    def __init__(self):
        if not _started_by_torchrun():
            raise ValueError(
                "ddp needs a process for each device: start the program by "
                "`torchrun --nproc-per-node DEVICES program.py`."
            )
        self.device = _device(int(os.environ.get("LOCAL_RANK", 0)))
        on_gpu = self.device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_gpu else "gloo", device_id=self.device if on_gpu else None
        )
        self.process, self.processes = dist.get_rank(), dist.get_world_size()
        self.devices = self.processes

    def replicate(self, model):
        return Replica(model, self.device)

    def share(self, logs, weight=1.0, val_weight=1.0):
        names = sorted(logs)
        weights = np.array([val_weight if name.startswith("val_") else weight for name in names])
        values = np.array([logs[name] for name in names])
        sums = torch.tensor(np.stack([values * weights, weights]), device=self.device)
        dist.all_reduce(sums)
        total, count = sums.cpu().numpy()
        return dict(zip(names, (total / count).tolist(), strict=True))

    def vary_seeds(self, model):
        for state in seed_states(model):
            first = state.value.clone()
            dist.broadcast(first, src=0)
            state.assign(varied(first.cpu().numpy(), self.process))

    def barrier(self):
        dist.barrier()

    def gathered(self, numbers):
        own = torch.tensor(numbers, device=self.device)
        every = [torch.empty_like(own) for _ in range(self.processes)]
        dist.all_gather(every, own)
        return torch.stack(every).cpu().numpy()

    def close(self):
        dist.destroy_process_group()


STRATEGIES = {DDP.name: DDP}


def automatic() -> str:
    """See `choose`."""
    return DDP.name if _started_by_torchrun() else Strategy.name


def _started_by_torchrun() -> bool:
    return "WORLD_SIZE" in os.environ


def _device(number: int) -> torch.device:
    """Where Keras puts tensors, once told which of the GPUs is this process's."""
    if torch.cuda.is_available():
        if number >= torch.cuda.device_count():
            raise ValueError(
                f"this process is number {number} of this machine, which has "
                f"{torch.cuda.device_count()} GPUs; start as many processes."
            )
        torch.cuda.set_device(number)
    return keras.ops.zeros(()).device
