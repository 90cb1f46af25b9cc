"""How many simulated worlds a run survives, and what happens in them.

Each world is the real driver on workers, machines and time that a seed decides (`tests/simulated_pool.py`,
`tests/simulated_worlds.py`); populations go up to 50. Its digests must be those of the undisturbed run of the
same configuration: the first seed that fails is named, and nothing else is printed.

    PYTHONPATH=. python tests/benchmarks/worlds.py [WORLDS]
"""

import sys
import time

from runs.environment import prepare

WORLDS = 2000


def main() -> None:
    from tests.simulated_worlds import survived_by_all

    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    started = time.perf_counter()
    happened, failed = survived_by_all(range(worlds), large=True)
    assert not failed, f"world {failed[0][0]} fails: {failed[0][1]}; nothing is reported"
    print(f"worlds tried                 {worlds:>10,}")
    print(f"worlds that end otherwise    {len(failed):>10,}")
    print(f"orders answered              {happened.pop('answers'):>10,}")
    for what, times in sorted(happened.items(), key=lambda pair: -pair[1]):
        print(f"  {what:<26} {times:>10,}")
    print(f"seconds                      {time.perf_counter() - started:>10.1f}")


if __name__ == "__main__":
    prepare()
    main()
