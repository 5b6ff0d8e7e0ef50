"""Convert a PVT checkpoint: `keras-pvt convert`, from a checkout.

python tools/convert_checkpoint.py pvt_tiny.pth pvt_tiny.weights.h5
"""

import sys

from keras_pvt.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
