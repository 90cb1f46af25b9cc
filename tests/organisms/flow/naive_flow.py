"""The flow of a `FlowLayer` by its equation, position by position, in float64: slow, and nothing else than the sums."""

import math

import torch
from torch.nn import functional as F


def turned(vector, position):
    """The coordinates i and i + R / 2 as complex numbers, turned by position 10000^(-2 i / R); an odd one stays."""
    half = len(vector) // 2
    angles = position * 10_000.0 ** -(torch.arange(half, dtype=torch.float64) / max(half, 1))
    pairs = torch.complex(vector[:half], vector[half : 2 * half]) * torch.exp(1j * angles)
    return torch.cat([pairs.real, pairs.imag, vector[2 * half :]])


@torch.no_grad()
def naive_flow(layer, x, reach=None, positions=None):
    """The matrices [B, C, S, S] of a layer without a plan, or with reach and positions [B, S]."""
    B, S, _ = x.shape
    C, R, K = layer.num_channels, layer.reduced_dim, layer.positions_of(S)
    matrices = torch.zeros(B, C, S, S, dtype=torch.float64)
    for b in range(B):
        for t in range(S):
            logits = layer.mixer @ x[b, t]
            chosen = sorted(range(layer.num_patterns), key=lambda p: -float(logits[p]))[
                : layer.top_k_patterns
            ]
            weights = torch.softmax(torch.stack([logits[p] for p in chosen]), 0)
            for c in range(C):
                scores = {}
                for s in range(S):
                    distance = abs(t - s)
                    if (layer.causal and s > t) or (layer.window is not None and distance >= layer.window):
                        continue
                    offered = layer.send.view(C, R, -1)[c] @ x[b, s]
                    score = 0.0
                    for w, p in zip(weights, chosen, strict=True):
                        wanted = layer.patterns[p, c].T @ (layer.receive @ x[b, t])
                        product = turned(wanted, t) @ turned(offered, s) / math.sqrt(R)
                        score = score + w * (product - F.softplus(layer.decays[p, c]) * math.log1p(distance))
                    if reach is not None:
                        score = score - max(0.0, distance - float(reach[b, t]))
                    scores[s] = score
                best = sorted(scores, key=lambda s: -float(scores[s]))[:K]
                row = torch.stack([scores[s] for s in best])
                if positions is not None:
                    row = row + F.logsigmoid(positions[b, t] - torch.arange(len(best)))
                row = torch.softmax(row, 0)
                intensity = 2 * torch.sigmoid(layer.intensity[c] @ x[b, t] + layer.intensity_bias[c])
                matrices[b, c, t, best] = intensity * row
    return matrices
