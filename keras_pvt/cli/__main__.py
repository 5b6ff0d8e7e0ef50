"""`python -m keras_pvt.cli`, as for torchrun."""

import sys

from keras_pvt.cli import main

sys.exit(main())
