"""A served model from a module: engine, service, and what the endpoints share."""

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runs.models.lengths import Lengths
from runs.models.signature import Signature
from runs.serving.engine import Engine
from runs.serving.http.metrics import Metrics
from runs.serving.http.served import Served
from runs.serving.limits import Limits
from runs.serving.predicting import Predictor
from runs.serving.readers import reader_of
from runs.serving.service import Service

if TYPE_CHECKING:
    from torch import nn


def served(
    model: "nn.Module",
    signature: Signature,
    lengths: Lengths,
    name: str,
    limits: Limits,
    report: Callable[[str], None],
) -> Served:
    """Return a model that can be served, whose thread is not started yet.

    Parameters
    ----------
    model
        Called as ``model(tokens, mask=None, generator=None)``, which returns outputs and metrics; on its device. It is
        put into evaluation mode.
    signature
        What it reads and answers.
    lengths
        Which sequences it reads.
    name
        What clients read about which model it is.
    limits
        What is taken on.
    report
        Called with the trace of an error.
    """
    from runs.serving.http.app import PATHS

    model.eval()
    engine = Engine(
        reader_of(model, signature, limits.max_batch_size, shared=limits.shares),
        discrete=signature.tokens == "discrete",
        limits=limits,
        clock=time.monotonic,
    )
    return Served(
        name,
        signature,
        lengths,
        limits,
        Service(engine, report),
        Predictor(model),
        Metrics(engine, PATHS),
        fresh_seed=lambda: secrets.randbits(53),  # which numbers of JavaScript hold
    )
