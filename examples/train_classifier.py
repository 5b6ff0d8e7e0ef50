"""Train a PVT classifier by a recipe, on whatever devices there are: `keras-pvt train`.

python examples/train_classifier.py cifar10_pvt_nano --data cifar10 --out runs/nano
python examples/train_classifier.py --help

`keras_pvt.training.classification.train` is what does it, in a page to copy and change;
finetune_folder.py shows the same parts in a plain `model.fit`.
"""

import sys

from keras_pvt.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
