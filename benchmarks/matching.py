"""Time of DETR's matching on JAX: how it grows with the numbers of objects and queries.

Costs are of one image, random, or alike for all objects, which leaves the most paths to look for.
Each result is held against SciPy's.
"""

import argparse
import functools

import numpy as np
import timing

EXAMPLES = """examples:
  KERAS_BACKEND=jax python benchmarks/matching.py
"""
SIZES = ((100, 100), (200, 100), (1000, 100), (2000, 100), (200, 200), (400, 400))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each (5)")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)

    import jax
    from scipy.optimize import linear_sum_assignment

    from keras_pvt.detection.losses.hungarian import shortest_augmenting_paths

    print(f"jax {jax.__version__}, {threads} threads")
    print("\n| objects | queries | random, ms | alike, ms |\n|---|---|---|---|")
    solve = jax.jit(shortest_augmenting_paths)

    def match(costs, exists):
        return jax.block_until_ready(solve(costs, exists))

    for objects, queries in SIZES:
        rng, figures = np.random.default_rng(0), []
        exists = np.ones((1, objects), bool)
        random = rng.standard_normal((1, objects, queries)).astype("float32")
        for costs in (random, random[:, :1] + 0.01 * random):
            owner = np.asarray(match(costs, exists))[0]
            (taken,) = np.nonzero(owner >= 0)
            least = costs[0][linear_sum_assignment(costs[0])].sum()
            np.testing.assert_allclose(costs[0][owner[taken], taken].sum(), least, atol=1e-3)
            calls = {"jax": functools.partial(match, costs, exists)}
            figures.append(f"{timing.interleave(calls, 0.0, args.rounds)['jax']:.1f}")
        print(f"| {objects} | {queries} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
