import numpy as np
import torch

from tests.fixtures.small_worlds import examples_of, small_organism, small_species, small_task


def test_a_window_of_one_token_hides_all_others():
    task = small_task("token", "discrete", places=np.arange(7.0)[:, None])
    organism = small_organism(small_species(task, depth=2, max_window=1), (0, 1, 6))
    inputs, _ = examples_of(task)
    changed = inputs.clone()
    changed[:, 2] = (inputs[:, 2] + 1) % 3
    before, after = organism(inputs), organism(changed)
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(before[:, others], after[:, others])
