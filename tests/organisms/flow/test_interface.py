"""The names that the document gives, and what else the package exports."""

import inspect
import subprocess
import sys

import pytest
import torch

import organisms.flow

DOCUMENTED = {
    *("FlowLayer", "EnhancedFlowLayer", "ContextAwareFlowRouter", "FlowMemoryNetwork"),
    *("FlowNetwork", "EnhancedFlowTransformer", "adjust_num_heads", "safe_tensor_to_int"),
}


def test_the_documents_names_are_exported():
    assert set(organisms.flow.__all__) >= DOCUMENTED


@pytest.mark.parametrize("name", organisms.flow.__all__)
def test_each_name_is_that_of_what_it_stands_for_and_is_described(name):
    value = getattr(organisms.flow, name)
    assert value.__name__ == name
    assert value.__module__.startswith("organisms.flow.")
    assert inspect.getdoc(value)


def test_torch_is_loaded_by_what_computes():
    code = "import sys, organisms.flow; dir(organisms.flow); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_documents_example_runs():
    """As it stands, but for a smaller vocabulary and width, which take no seconds to draw."""
    from organisms.flow import FlowNetwork

    model = FlowNetwork(vocab_size=300, d_model=64, num_layers=2, max_seq_len=2048)
    ids = torch.randint(0, 300, (2, 128), generator=torch.Generator().manual_seed(0))
    logits, metrics = model(ids)
    assert logits.shape == (2, 128, 300)
    assert metrics


def test_layers_are_made_and_called_as_the_document_does():
    from organisms.flow import EnhancedFlowLayer, FlowLayer, FlowMemoryNetwork

    x = torch.randn(2, 16, 32, generator=torch.Generator().manual_seed(0))
    flow_matrix, _ = FlowLayer(input_dim=32, output_dim=32, num_patterns=8, base_sparsity=0.1)(x)
    assert flow_matrix.shape == (2, 2, 16, 16)
    out, _ = FlowMemoryNetwork(d_model=32, memory_size=8, num_memory_heads=4)(x, update_memory=True)
    assert out.shape == x.shape
    out, _ = EnhancedFlowLayer(input_dim=32, output_dim=48, num_patterns=8, num_heads=4)(x)
    assert out.shape == (2, 16, 48)
