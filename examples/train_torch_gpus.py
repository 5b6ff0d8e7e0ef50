"""PVT-Small on ImageNet with PyTorch, a process for each GPU, by DistributedDataParallel.

    export KERAS_BACKEND=torch
    torchrun --nproc-per-node 8 train_torch_gpus.py --data imagenet --out runs/small

On two machines, the same on both, with the address of the first:

    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint 10.0.0.1:1234 \\
        train_torch_gpus.py --data imagenet --out /mnt/runs/small

torchrun ends all processes when one fails; given again, the command goes on after the last whole
epoch. To see whether all is there first: `--epochs 1 --limit-steps 2 --out runs/trial`. Every
option of `keras-pvt train` is one of this program too.
"""

import sys

from keras_pvt.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "imagenet_pvt_small", "--backend-strategy", "ddp", *sys.argv[1:]]))
