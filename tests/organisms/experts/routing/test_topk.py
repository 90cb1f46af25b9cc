import pytest
import torch

from tests.organisms.experts.small_routers import WIDTH, drawn, small_router


@pytest.mark.parametrize("k", [1, 2, 5, 8])
@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
def test_a_loop_over_tokens_routes_alike(k, scores):
    router = small_router(k=k, scores=scores)
    info = router(drawn(30, WIDTH))
    for token, logits in enumerate(info.logits.detach().double()):
        gates = logits.softmax(0) if scores == "softmax" else logits.sigmoid()
        ranked = sorted(range(8), key=lambda expert: -gates[expert])[:k]
        assert info.experts[token].tolist() == ranked
        expected = gates[ranked] / (gates[ranked].sum() if k > 1 else 1)
        torch.testing.assert_close(info.weights[token].double(), expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(info.gates[token].double(), gates, rtol=1e-5, atol=1e-6)


def test_of_equal_logits_the_first_are_taken():
    router = small_router(k=3)
    torch.nn.init.zeros_(router.weight)
    assert router(drawn(5, WIDTH)).experts.tolist() == [[0, 1, 2]] * 5
