"""How many simulated worlds a run survives, and what happens in them.

Each world is the real driver on workers, machines and time that a seed decides (`tests/faults/simulated_pool.py`,
`tests/faults/simulated_worlds.py`): first those of the test suite, then larger ones with populations up to 50. Their
digests must be those of the undisturbed run of the same configuration, or nothing is printed.

    PYTHONPATH=. python tests/benchmarks/worlds.py [SMALL] [LARGE]
"""

import sys
import time

from runs.machine.settings import prepare

SMALL, LARGE = 2000, 200


def measure(worlds: int, large: bool) -> None:
    from tests.faults.simulated_worlds import survived_by_all

    started = time.perf_counter()
    happened, failed = survived_by_all(range(worlds), large)
    assert not failed, f"world {failed[0][0]} fails: {failed[0][1]}; nothing is reported"
    print(f"{'large' if large else 'small'} worlds, all survived   {worlds:>10,}")
    print(f"orders answered              {happened.pop('answers'):>10,}")
    for what, times in sorted(happened.items(), key=lambda pair: -pair[1]):
        print(f"    {what:<24} {times:>10,}")
    print(f"seconds                      {time.perf_counter() - started:>10.1f}")


def main() -> None:
    small, large = [*map(int, sys.argv[1:]), *(SMALL, LARGE)[len(sys.argv) - 1 :]]
    measure(small, large=False)
    measure(large, large=True)


if __name__ == "__main__":
    prepare()
    main()
