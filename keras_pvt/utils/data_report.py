"""A report of what was wrong with a data set."""

import collections


class DataReport:
    """What was wrong with a data set: how often each kind occurred, and where first."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str) -> None:
        """Count one more problem.

        Args:
            kind: what is wrong and what was done about it, in words.
            where: the file, and the annotation in it.
        """
        self.counts[kind] += 1
        self._first.setdefault(kind, where)

    def lines(self) -> list[str]:
        """A line for each kind, the most frequent first."""
        return [
            f"{count} x {kind}; the first is {self._first[kind]}"
            for kind, count in self.counts.most_common()
        ]
