"""Methods that Keras, or the record of a system, calls by itself.

The class says what goes in and comes out; the reference leaves them out, and they need no
docstring. tests/test_docstrings.py reads this too.
"""

NAMES = (
    "build|call|compute_(loss|mask|output_shape|output_spec)|from_(config|recipe|arrays)|get_config"
    "|default_lora_layer_names|loss_parts|result|update_(state|step)|on_[a-z_]+"
)
