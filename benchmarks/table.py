"""Markdown tables of figures and of ratios, printed row by row."""

from collections.abc import Sequence


class Table:
    """A table with one column for each contender, then the ratio of the first to each other.

    Args:
        title: what the rows are.
        names: contenders, the one to judge first.
        unit: of the figures.
    """

    def __init__(self, title: str, names: Sequence[str], unit: str):
        self.names = names
        columns = [title, *(f"{name}, {unit}" for name in names)]
        columns += [f"{names[0]} / {name}" for name in names[1:]]
        print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|", flush=True)

    def row(self, label: str, figures: dict[str, float]) -> None:
        """Print one row; lower figures are better."""
        first = figures[self.names[0]]
        cells = [label, *(f"{figures[name]:.1f}" for name in self.names)]
        cells += [f"{first / figures[name]:.2f}" for name in self.names[1:]]
        print("| " + " | ".join(cells) + " |", flush=True)
