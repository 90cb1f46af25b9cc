"""The answer of /stats: the document's fields first, and more after them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runs.serving.http.served import Served


def stats(served: "Served") -> dict[str, Any]:
    """Return what a server has done, and how it reads its model."""
    engine = served.service.engine
    counts, prefixes = engine.counts, engine.prefixes
    return {
        "total_requests": counts.requests,
        "cache_hits": counts.cache_hits,
        "cache_hit_rate": round(counts.hit_rate, 3),
        "total_prefix_tokens_reused": counts.prefix_tokens_reused,
        "kv_cache_entries": prefixes.entries,
        "kv_cache_total_tokens": prefixes.tokens,
        "kv_cache_bytes": prefixes.tokens * engine.reader.token_nbytes,
        "kv_cache_evictions": prefixes.evictions,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "timed_out": counts.timed_out,
        "running": len(engine.running),
        "waiting": len(engine.waiting),
        "prompt_tokens_read": counts.prompt_tokens,
        "new_tokens": counts.new_tokens,
        "steps": counts.steps,
        "largest_batch": counts.largest_batch,
        "reader_bytes": engine.reader.nbytes,
        "decoding": engine.reader.description,
        "incremental": engine.reader.incremental,
        "draining": served.service.draining,
        "model": served.name,
        "examples": f"of {served.lengths}",
        "limits": served.limits.model_dump(),
        **served.metrics.latencies.plain(),
    }
