"""Draw one column of the logs of several training runs, those of one name in one colour.

python tools/compare_runs.py --column mIoU --out curves.png \
    pretrained=runs/a/history.csv pretrained=runs/b/history.csv scratch=runs/c/history.csv
"""

import argparse
import pathlib
import statistics
import sys

from matplotlib.figure import Figure

from keras_pvt.training import read_history


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="NAME=LOG", help="history.csv of a run")
    parser.add_argument("--column", required=True, help="of the logs")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="PNG to write")
    options = parser.parse_args()
    groups: dict[str, list[list[float]]] = {}
    for run in options.runs:
        name, equals, path = run.partition("=")
        if not equals:
            parser.error(f"expected NAME=LOG; got {run!r}")
        try:
            column = [row[options.column] for row in read_history(path)]
        except (OSError, KeyError) as error:
            parser.error(f"{path} is no log with a column {options.column!r}: {error}")
        groups.setdefault(name, []).append(column)
    draw(groups, options.column, options.out)
    for name, columns in groups.items():
        last = [column[-1] for column in columns]
        spread = f", standard deviation {statistics.stdev(last):.4f}" if len(last) > 1 else ""
        print(f"{name}: {statistics.mean(last):.4f} in the last epoch of {len(last)} runs{spread}")
    return 0


def draw(groups: dict[str, list[list[float]]], column: str, path: pathlib.Path) -> None:
    """A thin line for each run, and a thick one for the mean of each group."""
    figure = Figure((6.4, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, columns) in enumerate(groups.items()):
        for values in columns:
            axes.plot(range(1, len(values) + 1), values, color=f"C{number}", lw=0.8, alpha=0.6)
        means = [statistics.mean(values) for values in zip(*columns, strict=False)]
        label = f"{name}, mean of {len(columns)}"
        axes.plot(range(1, len(means) + 1), means, color=f"C{number}", lw=2, label=label)
    axes.set(xlabel="epoch", ylabel=column)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
