"""The pool of workers that a configuration asks for."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from runs.config.schema import Config
from runs.prepared import Prepared
from runs.workers.pool import InlinePool, WorkerPool


@contextmanager
def pool_of(prepared: Prepared) -> Iterator[WorkerPool]:
    """Start the pool that the configuration asks for, and close it in the end."""
    execution = prepared.config.execution
    pool: WorkerPool
    if execution.executor == "inline":
        pool = InlinePool(time.perf_counter)
    else:
        from runs.workers.ray_pool import RayPool

        pool = RayPool(
            workers=workers(prepared.config),
            address=execution.address,
            num_gpus=execution.num_gpus,
            expected=prepared.fingerprint,
            modules=prepared.modules,
            device=execution.device,
            clock=time.monotonic,
        )
    try:
        yield pool
    finally:
        pool.close()


def workers(config: Config) -> int:
    """Return the number of workers: the configured one, or one for each core but no more than organisms."""
    asked = config.execution.workers
    return min(cores(), config.organism.count) if asked == "auto" else asked


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
