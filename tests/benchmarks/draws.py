"""What one named draw costs.

First two published values are checked. Then `uniform` and a bare SHA-256 of the same length are timed; the
fastest of several passes counts.

    python tests/benchmarks/draws.py
"""

import hashlib
import timeit

from qd.seeding import uniform

DRAWS, PASSES = 100_000, 5


def nanoseconds(function):
    return min(timeit.repeat(function, number=DRAWS, repeat=PASSES)) / DRAWS * 1e9


def main():
    assert uniform(0, 0, "init") == 0.31259122489452945
    assert uniform(7, 100, "birth:abc") == 0.02277551055209631
    draw = nanoseconds(lambda: uniform(7, 100, "birth:abc"))
    bare = nanoseconds(lambda: hashlib.sha256(b"7:100:birth:abc").digest())
    print(f"one uniform draw       {draw:>8.0f} ns (the blueprint says 100)")
    print(f"its SHA-256 alone      {bare:>8.0f} ns")
    print(f"ratio                  {draw / bare:>8.2f}")


if __name__ == "__main__":
    main()
