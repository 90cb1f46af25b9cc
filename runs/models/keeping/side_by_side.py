"""A comparison of models as text."""

from collections.abc import Sequence

from runs.models.keeping.compare import BATCHES, Compared
from runs.results.columns import aligned


def table(found: Sequence[Compared], score_name: str, split: str) -> str:
    """Return a comparison as text.

    Parameters
    ----------
    found
        What `compare` returned.
    score_name
        ``accuracy`` or ``R2``.
    split
        On what.
    """
    times = [f"ms, batch {batch}" for batch in BATCHES]
    heads = [
        "model",
        "architecture",
        "parameters",
        "FLOPs",
        f"{split} loss",
        score_name,
        *times,
        "loss - first",
    ]
    rows = [heads, *(_row(each) for each in found)]
    own = sorted({name for each in found for name in each.metrics} - {"loss", "score"})
    lines = aligned(rows)
    for title, cells in _further(found, own, score_name):
        lines += ["", *aligned([[title, *(each.path for each in found)], *cells])]
    return "\n".join(
        [
            *lines,
            "",
            "FLOPs: matrix products and attention of one example, two for a product and a sum. In brackets: the 95 %",
            "interval of the paired bootstrap over examples. Times: medians, in one thread.",
        ]
    )


def _row(each: Compared) -> list[str]:
    estimate = each.against_first
    shown = "-"
    if estimate is not None and estimate.low is not None:
        shown = f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}] {each.verdict}"
    elif estimate is not None:
        shown = f"{estimate.value:+.4f}"
    numbers = [f"{each.milliseconds[batch]:.2f}" for batch in BATCHES]
    sizes = [f"{each.parameters:,}", f"{each.flops:,}"]
    scores = [f"{each.metrics['loss']:.4f}", f"{each.metrics['score']:.4f}"]
    return [each.path, each.architecture, *sizes, *scores, *numbers, shown]


def _further(
    found: Sequence[Compared], own: Sequence[str], score_name: str
) -> list[tuple[str, list[list[str]]]]:
    """Return the tables of the task's own metrics and of its kinds of examples, where it has some."""
    parts = []
    if own:
        parts.append(("metric", [[name, *(f"{each.metrics[name]:.4g}" for each in found)] for name in own]))
    kinds = list(found[0].kinds)
    for name, title in (("loss", "loss of"), ("score", f"{score_name} of")):
        if kinds:
            cells = [[kind, *(f"{each.kinds[kind][name]:.4f}" for each in found)] for kind in kinds]
            parts.append((title, cells))
    return parts
