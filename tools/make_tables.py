"""Write the tables that documents show from the variant table.

python tools/make_tables.py            # rewrite README.md
python tools/make_tables.py --check    # exit 1 if README.md is out of date
"""

import argparse
import pathlib
import sys

from keras_pvt import flops
from keras_pvt.variants import VARIANTS, WEIGHTS

README = pathlib.Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- variants: written by tools/make_tables.py -->\n"
END = "<!-- end of variants -->"


def variants_table() -> str:
    """The variants as a Markdown table."""
    lines = [
        "| constructor | parameters | GFLOPs | size | depths | `weights=` | top-1 | source |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, config in VARIANTS.items():
        cost = flops.total(flops.classifier(config, config.image_size, config.image_size))
        facts = [(key, fact) for (owner, key), fact in WEIGHTS.items() if owner == name]
        cells = [
            f"`PVT{name.removeprefix('pvt_').capitalize()}`",
            f"{cost.parameters:,}",
            f"{cost.gflops:.3f}",
            str(config.image_size),
            "-".join(map(str, config.depths)),
            ", ".join(f'"{key}"' for key, _ in facts),
            ", ".join(f"{fact.top1:g}" for _, fact in facts),
            ", ".join(fact.source for _, fact in facts),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The document with the table between its two marks made anew."""
    before, rest = text.split(BEGIN)
    after = rest[rest.index(END) :]
    return before + BEGIN + variants_table() + after


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether it is current")
    options = parser.parse_args()
    old = README.read_text("utf-8")
    new = with_table(old)
    if not options.check:
        README.write_text(new, "utf-8")
    elif new != old:
        print("error: README.md is out of date; run python tools/make_tables.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
