"""A layer of a stream by its equations: token by token, one sequence, tubes as a list of pairs."""

import math

import torch
from torch.nn import functional as F


def read(layer, x):
    """What the layer makes of a sequence [S, D]."""
    heads, T, rules = layer.pseudopods, layer.block, layer.rules
    h, tubes, used, out = layer.norm1(x), [], [], []
    for i in range(len(x)):
        block = i // T
        used = used if i % T else [0.0] * len(tubes)
        in_sight = range(max(0, block - 1) * T, i + 1)
        written = heads.bias
        living = heads.living()
        for c in living:
            rank, width = int(heads.ranks[c]), int(heads.widths[c])
            q = h[i] @ heads.query[c, :rank].T + heads.query_bias[c, :rank]
            slope = F.softplus(layer.slope[c])
            tokens = torch.stack([token for _, token in tubes] + [h[j] for j in in_sight])
            near = [math.log(thick) for thick, _ in tubes] + [-slope * (i - j) for j in in_sight]
            scores = tokens @ heads.key[c, :rank].T @ q / rank**0.5
            weights = torch.softmax(scores + torch.stack([torch.as_tensor(each) for each in near]), 0)
            values = tokens @ heads.value[c, :width].T + heads.value_bias[c, :width]
            written = written + weights @ values @ heads.output[c, :width]
            used = [each + w.item() / len(living) / T for each, w in zip(used, weights, strict=False)]
        out.append(written)
        if i % T == T - 1 and block > 0:  # the block before this one gets out of sight
            adapted = [
                rules.decay * D + (1 - rules.decay) * Q**rules.exponent
                for (D, _), Q in zip(tubes, used, strict=True)
            ]
            left = [
                (D, token) for D, (_, token) in zip(adapted, tubes, strict=True) if not rules.thinnest > D
            ]
            new = [
                (torch.sigmoid(layer.gate[0] @ h[j] + layer.gate_bias[0]).item(), h[j])
                for j in reversed(range((block - 1) * T, block * T))
            ]
            tubes = sorted(new + left, key=lambda tube: -tube[0])[: rules.capacity]
    x = x + torch.stack(out)
    return x + layer.feed_forward(layer.norm2(x))
