"""Draw how the cost of PVT-Small, ViT-Small and ResNet-50 grows with the image, and print it.

The paper's figure 6, for docs/cost.md, by arithmetic: nothing is run.
"""

import argparse
import pathlib

import cost_tables
from matplotlib.figure import Figure

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = """examples:
  python tools/plot_input_scale.py
  python tools/plot_input_scale.py --sides 224 448 672 896 --out growth.png
"""
# Line of each model: colour and dashes.
STYLES = {
    "ViT-Small/16": ("#b5762f", "-"),
    "PVT-Small": ("#2f6db5", "-"),
    "PVT-Small without attention": ("#2f6db5", ":"),
    "ResNet-50": ("#22262e", "-"),
    "ViT-Small/32": ("#b5762f", "--"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sides",
        type=int,
        nargs="+",
        default=list(cost_tables.SIDES),
        metavar="PIXELS",
        help="of the square images, from small to large (default: the paper's)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=ROOT / "docs" / "input_scale.png",
        metavar="PNG",
        help="picture to write (default: docs/input_scale.png)",
    )
    options = parser.parse_args()
    print(cost_tables.input_scale(options.sides), end="")
    draw(options.sides, options.out)


def draw(sides: list[int], path: pathlib.Path) -> None:
    """Draw `cost_tables.growth` twice: in GFLOPs, and over each model's own first figure."""
    columns = cost_tables.growth(sides)
    figure = Figure((10, 4.2), layout="constrained")
    absolute, relative = figure.subplots(1, 2)
    for name, (color, dashes) in STYLES.items():
        figures = columns[name]
        style = {"color": color, "linestyle": dashes, "marker": "."}
        absolute.plot(sides, figures, label=name, **style)
        relative.plot(sides, [value / figures[0] for value in figures], label=name, **style)
    absolute.set(yscale="log", ylabel="GFLOPs", xlabel="side of the image in pixels")
    relative.set(ylabel=f"over its own at {sides[0]}", xlabel="side of the image in pixels")
    for axes in (absolute, relative):
        axes.set_xticks(sides)
        axes.grid(alpha=0.3)
    absolute.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
