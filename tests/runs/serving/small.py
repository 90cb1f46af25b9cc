"""Small models that are not trained, and engines of them whose clock a test turns."""

import torch

from runs.models.architectures import build
from runs.models.lengths import lengths_of
from runs.models.options import ExpertsOptions, FlowOptions, ModelChoice, TransformerOptions
from runs.models.signature import Signature
from runs.serving.engine import Engine
from runs.serving.generation import Generation
from runs.serving.limits import Limits
from runs.serving.readers import reader_of

EXPERTS = {
    "moe": {"d_model": 16, "router": {"n_experts": 3, "init_scale": 2.0}, "expert": {"d_hidden": 8}},
    "attention": {"n_heads": 2},
}
LENGTH = 16  # tokens of the window of what is read whole


def symbols(vocabulary=20):
    return Signature("text", "token", "discrete", vocabulary, vocabulary, LENGTH, True)


def numbers(features=1):
    return Signature("signals", "sequence", "continuous", features, features, LENGTH, True)


def classes():
    return Signature("digits", "class", "continuous", 2, 3, 4, False)


def choice(kind="experts", **flow):
    return ModelChoice(
        kind=kind,
        experts=ExpertsOptions.model_validate({"block": EXPERTS}),
        transformer=TransformerOptions.model_validate(
            {"d_model": 16, "d_hidden": 8, "attention": {"n_heads": 2}}
        ),
        flow=FlowOptions.model_validate({"d_model": 16, "n_heads": 2, "n_patterns": 3} | flow),
    )


def model(signature, kind="experts", seed=0, **flow):
    return build(signature, choice(kind, **flow), torch.Generator().manual_seed(seed)).eval()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def engine(signature, kind="experts", clock=None, **limits):
    kept = Limits.model_validate({"max_batch_size": 4, "prefill_chunk": 8} | limits)
    reader = reader_of(model(signature, kind), signature, kept.max_batch_size, shared=kept.shares)
    return Engine(reader, discrete=signature.tokens == "discrete", limits=kept, clock=clock or Clock())


def generation(tokens, new=5, **given):
    return Generation(**{"request_id": "r", "tokens": tuple(tokens), "max_new_tokens": new} | given)


def ended(at, *generations):
    """Submit all, step until nothing is left to do, and give the last event of each."""
    found = [[] for _ in generations]
    for each, events in zip(generations, found, strict=True):
        at.submit(each, events.append)
    while at.busy:
        at.step()
    return [events[-1] for events in found]


def small_served(signature, kind="experts", report=None, **limits):
    """A served model whose seeds are 1, 2, ..., and whose thread is not started."""
    import itertools
    from dataclasses import replace

    from runs.serving.start import served

    kept = Limits.model_validate({"max_batch_size": 4, "prefill_chunk": 8} | limits)
    seeds = itertools.count(1)
    found = served(
        model(signature, kind), signature, lengths_of(signature, kind), "small", kept, report or unexpected
    )
    return replace(found, fresh_seed=lambda: next(seeds))


def unexpected(trace):
    raise AssertionError(trace)
