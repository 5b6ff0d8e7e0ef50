"""Write the tables that documents show from what the code declares.

python tools/make_tables.py            # rewrite the documents
python tools/make_tables.py --check    # exit 1 if one is out of date
"""

import argparse
import functools
import pathlib
import sys

import cost_tables
import ecosystem

import keras_pvt
from keras_pvt import flops
from keras_pvt.variants import VARIANTS, WEIGHTS

ROOT = pathlib.Path(__file__).parents[1]


def variants_table() -> str:
    """The variants as a Markdown table."""
    lines = [
        "| constructor | parameters | GFLOPs | size | depths | `weights=` | top-1 | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    constructors = {
        function.variant: name
        for name, function in vars(keras_pvt).items()
        if hasattr(function, "variant")
    }
    for name, config in VARIANTS.items():
        cost = flops.total(flops.classifier(config, config.image_size, config.image_size))
        published = [(key, weights) for (owner, key), weights in WEIGHTS.items() if owner == name]
        cells = [
            f"`{constructors[name]}`",
            f"{cost.parameters:,}",
            f"{cost.gflops:.3f}",
            str(config.image_size),
            "-".join(map(str, config.depths)),
            ", ".join(f'"{key}"' for key, _ in published),
            ", ".join(f"{weights.top1:.1f}" if weights.top1 else "-" for _, weights in published),
            ", ".join(weights.source for _, weights in published),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# Document, name of the table in it, and what makes the table.
TABLES = (
    ("README.md", "variants", variants_table),
    ("docs/detectors.md", "tasks", ecosystem.table),
    ("docs/cost.md", "parameters", cost_tables.parameters),
    ("docs/cost.md", "gflops", cost_tables.gflops),
    ("docs/cost.md", "parameters on PVTv2", functools.partial(cost_tables.parameters, "pvt_v2")),
    ("docs/cost.md", "gflops on PVTv2", functools.partial(cost_tables.gflops, "pvt_v2")),
    ("docs/cost.md", "growth of PVTv2", cost_tables.growth_of_linear),
    ("docs/cost.md", "trans2seg", cost_tables.trans2seg),
    ("docs/cost.md", "deeper or wider", cost_tables.deeper_or_wider),
    ("docs/cost.md", "input scale", cost_tables.input_scale),
)


def with_table(text: str, name: str, table: str) -> str:
    """The document with the table between its two marks made anew."""
    begin, end = f"<!-- {name}: written by tools/make_tables.py -->\n", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    return before + begin + table + rest[rest.index(end) :]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether they are current")
    options = parser.parse_args()
    status = 0
    for document, name, make in TABLES:
        old = (ROOT / document).read_text("utf-8")
        new = with_table(old, name, make())
        if not options.check:
            (ROOT / document).write_text(new, "utf-8")
        elif new != old:
            print(
                f"error: {document} is out of date; run python tools/make_tables.py",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
