"""PVT-Small on ImageNet with TensorFlow, on all GPUs of a machine, by MirroredStrategy.

    KERAS_BACKEND=tensorflow python train_tensorflow_mirrored.py --data imagenet --out runs/small

On a Cloud TPU, with its name in TPU_NAME, the same with `--backend-strategy tpu`. To see whether
all is there first: `--epochs 1 --limit-steps 2 --out runs/trial`. Every option of `keras-pvt train`
is one of this program too.
"""

import sys

from keras_pvt.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", "imagenet_pvt_small", "--backend-strategy", "mirrored", *sys.argv[1:]]))
