"""Which images of an epoch make a batch, for one of several processes."""

import dataclasses

LAST_BATCH = ("drop", "keep", "pad")


@dataclasses.dataclass(frozen=True)
class BatchSampler:
    """Positions 0 to `count - 1` of an epoch, cut into batches for all processes together.

    Process r takes every `shard[1]`-th of a batch, from the r-th, so that neighbours go to
    different processes.

    Args:
        count: positions there are.
        batch_size: positions in a batch of one process.
        shard: (index, number) of the process among those that train together.
        last_batch: "drop" leaves out what makes no whole batch, "keep" makes it a smaller one
            (one process only), "pad" fills it up with positions of `count` and more.
    Raises:
        ValueError: arguments out of range, or no batch.
    """

    count: int
    batch_size: int
    shard: tuple[int, int] = (0, 1)
    last_batch: str = "drop"

    def __post_init__(self):
        rank, processes = self.shard
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` must be 1 or more; got {self.batch_size}.")
        if not 0 <= rank < processes:
            raise ValueError(
                f"`shard` must be (index, number of processes), the index from 0; got {self.shard}."
            )
        if self.last_batch not in LAST_BATCH:
            raise ValueError(
                f"`last_batch` must be one of {', '.join(LAST_BATCH)}; got {self.last_batch!r}."
            )
        if self.last_batch == "keep" and processes > 1:
            raise ValueError(
                f'`last_batch` "keep" would give {processes} processes unequal batches; "pad" '
                "fills them up."
            )
        if not len(self):
            raise ValueError(
                f"{self.count} images make no batch of {self.batch_size} for each of {processes} "
                "processes; take a smaller `batch_size`."
            )

    def __len__(self) -> int:
        """Batches, as many for each process."""
        size = self.batch_size * self.shard[1]
        return self.count // size if self.last_batch == "drop" else -(-self.count // size)

    def __getitem__(self, index: int) -> range:
        """Positions of a batch."""
        rank, processes = self.shard
        first = index * self.batch_size * processes
        last = first + self.batch_size * processes
        if self.last_batch == "keep":
            last = min(last, self.count)
        return range(first + rank, last, processes)
