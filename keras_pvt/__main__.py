"""`python -m keras_pvt` is the command `keras-pvt`."""

import sys

from keras_pvt.cli import main

sys.exit(main())
