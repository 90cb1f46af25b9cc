import pytest
import torch

from organisms.pseudopods import SlimeModel, SlimeMoldEncoder
from runs.observability.metrics.collector import MetricsCollector
from runs.observability.metrics.of_model import MODEL_FAMILIES, ModelMetrics
from runs.observability.metrics.text import text


@pytest.mark.parametrize("kind", ["encoder", "model"])
def test_passes_are_counted_and_each_slot_says_how_strongly_it_writes(kind):
    collector, told = MetricsCollector(MODEL_FAMILIES), {}
    told_of = ModelMetrics(collector)

    def metrics(name, values):
        told[name] = values
        told_of(name, values)

    if kind == "encoder":
        model, x = SlimeMoldEncoder(8, 2, 16, num_layers=2, metrics=metrics), torch.randn(3, 2, 8)
    else:
        model, x = SlimeModel(5, 8, 1, 4, num_layers=2, block=2, metrics=metrics), torch.randn(2, 3, 5)
    for _ in range(3):
        model(x)
    found = collector.snapshot()
    assert found["plasmodia_model_passes_total"] == {(): 3.0}
    expected = {
        (name.split(".")[1], str(slot)): float(value)
        for name, values in told.items()
        for slot, value in enumerate(values)
    }
    assert found["plasmodia_model_written"] == expected
    assert len(expected) == 4
    assert min(expected.values()) > 0
    assert 'plasmodia_model_written{layer="1",slot="0"}' in text(collector)
