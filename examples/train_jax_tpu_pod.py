"""PVT-Small on ImageNet with JAX, on every core of a TPU pod or every GPU of several machines.

A v4-32 has four hosts. The program runs on each; JAX finds the others:

    gcloud compute tpus tpu-vm create pod --zone us-central2-b \\
        --accelerator-type v4-32 --version tpu-ubuntu2204-base
    gcloud compute tpus tpu-vm scp train_jax_tpu_pod.py pod: --zone us-central2-b --worker all
    gcloud compute tpus tpu-vm ssh pod --zone us-central2-b --worker all --command '
        pip install "keras-pvt[jax,plot,tfds]" "jax[tpu]"
        export KERAS_BACKEND=jax KERAS_DISTRIBUTION_NUM_PROCESSES=4
        python train_jax_tpu_pod.py --data imagenet2012 --out /mnt/runs/small'

/mnt/runs is a disk that the hosts share, such as a Filestore. When a host goes, the job ends on all
of them; given again, the command goes on after the last whole epoch. Other machines are told who
takes part, here the first of two:

    KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:1234 \\
        KERAS_DISTRIBUTION_NUM_PROCESSES=2 KERAS_DISTRIBUTION_PROCESS_ID=0 \\
        python train_jax_tpu_pod.py --data imagenet --out /mnt/runs/small

To see whether all is there first: `--epochs 1 --limit-steps 2 --out /mnt/runs/trial`. Every option
of `keras-pvt train` is one of this program too.
"""

import sys

from keras_pvt.cli import main

if __name__ == "__main__":
    sys.exit(
        main(["train", "imagenet_pvt_small", "--backend-strategy", "data-parallel", *sys.argv[1:]])
    )
