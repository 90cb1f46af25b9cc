"""Archive commits per second, against bare ribs holding 64k-float solutions.

Both get the same rounds of candidates. First the answers are compared: same cells, same objectives. Then
each is timed; the fastest of several passes counts.

    python tests/benchmarks/archive.py
"""

import time

import numpy as np
from ribs.archives import CVTArchive

from qd.archive import Archive
from qd.centroids import halton_cvt
from qd.records import Candidate, ComponentId

CELLS, ROUNDS, PER_ROUND, FLOATS, PASSES = 256, 20, 96, 65_536, 5


def rounds():
    rng = np.random.default_rng(0)
    for number in range(ROUNDS):
        behaviours, objectives = rng.random((PER_ROUND, 5)), rng.random(PER_ROUND)
        yield [_candidate(number, *row) for row in zip(range(PER_ROUND), behaviours, objectives, strict=True)]


def _candidate(number, index, behaviour, objective):
    identity = ComponentId(index // 12, 0, index % 12)
    clipped = (False,) * 5
    return Candidate(
        identity, (), identity, 0, (), "", number, tuple(behaviour.tolist()), clipped, float(objective)
    )


def with_plasmodia(centroids, commits):
    archive = Archive(centroids)
    start = time.perf_counter()
    for commit in commits:
        archive.commit(commit)
    seconds = time.perf_counter() - start
    return seconds, archive.to_ribs()


def with_ribs(centroids, commits):
    archive = CVTArchive(
        solution_dim=FLOATS, centroids=centroids, ranges=[(0, 1)] * 5, solution_dtype=np.float32
    )
    solutions = np.zeros((PER_ROUND, FLOATS), dtype=np.float32)
    batches = [([c.objective for c in commit], [c.behaviour for c in commit]) for commit in commits]
    start = time.perf_counter()
    for objectives, behaviours in batches:
        archive.add(solutions, objectives, behaviours)
    return time.perf_counter() - start, archive


def contents(archive):
    return dict(zip(*archive.data(["index", "objective"]).values(), strict=True))


def main():
    centroids, commits = halton_cvt(CELLS, 5, 0), list(rounds())
    ours, theirs = with_plasmodia(centroids, commits), with_ribs(centroids, commits)
    assert contents(ours[1]) == contents(theirs[1]), "the two archives differ; no speed is reported"
    total = ROUNDS * PER_ROUND
    plasmodia = total / min(with_plasmodia(centroids, commits)[0] for _ in range(PASSES))
    ribs = total / min(with_ribs(centroids, commits)[0] for _ in range(PASSES))
    print(f"{CELLS} cells, {ROUNDS} rounds of {PER_ROUND} candidates, {FLOATS} float32 a solution")
    print(f"Archive.commit (handles)    {plasmodia:>12,.0f} commits/s")
    print(f"bare ribs CVTArchive.add    {ribs:>12,.0f} commits/s")
    print(f"ratio                       {plasmodia / ribs:>12.1f}")


if __name__ == "__main__":
    main()
