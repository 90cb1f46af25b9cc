"""How many bytes an elite takes as factors and as dense matrices, and what factoring a dense matrix costs.

Run: ``PYTHONPATH=. python tests/benchmarks/lowrank.py``
"""

import time

import numpy as np
from safetensors.numpy import save

from archive_store.lowrank import factor, reconstruct

D, RANK, WIDTH = 512, 64, 64


def pseudopod(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the factors of a head: qk of rank RANK, ov of width WIDTH."""
    shapes = {"qk.U": (D, RANK), "qk.V": (RANK, D), "ov.U": (D, WIDTH), "ov.V": (WIDTH, D)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def sizes(rng: np.random.Generator) -> dict[str, int]:
    """Give the bytes of one stored elite in each form, file header included."""
    factors = pseudopod(rng)
    products = {name: factors[f"{name}.U"] @ factors[f"{name}.V"] for name in ("qk", "ov")}
    for name, product in products.items():  # the answer first: a rank-64 product is not changed by factoring
        found = factor(product, rank=RANK)
        assert found.error < 1e-6, (name, found.error)
        np.testing.assert_allclose(reconstruct(found), product, atol=1e-3)
    square = np.zeros((D, D), dtype=np.float32)
    return {
        "factors (U, V of qk and ov)": len(save(factors)),
        "dense W_q, W_k, W_v, W_o": len(save(dict.fromkeys(("q", "k", "v", "o"), square))),
        "dense products W_qk, W_ov": len(save(products)),
        "four factored matrices": len(save({f"{m}{f}": factors["qk.U"] for m in "qkvo" for f in "UV"})),
    }


def spectra(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Make dense matrices whose singular values fall in different ways."""
    left, right = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(2))
    order = np.arange(1, D + 1)
    falling = {
        "1/i": 1 / order,
        "exp(-i/32)": np.exp(-order / 32),
        "rank 64": (order <= RANK).astype(np.float64),
    }
    made = {name: (left * values @ right.T).astype(np.float32) for name, values in falling.items()}
    return {"gaussian": rng.standard_normal((D, D)).astype(np.float32), **made}


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(0)
    stored = sizes(rng)
    base = stored["factors (U, V of qk and ov)"]
    print(f"bytes of one elite, D={D}, rank {RANK}, width {WIDTH}, float32")
    for name, count in stored.items():
        print(f"  {name:30s} {count:9d}  {count / base:5.2f} x the factors")
    print(f"\ntruncated SVD of a {D} x {D} matrix at rank {RANK}: relative Frobenius error")
    for name, matrix in spectra(rng).items():
        start = time.perf_counter()
        found = factor(matrix, rank=RANK)
        milliseconds = 1e3 * (time.perf_counter() - start)
        print(
            f"  {name:12s} error {found.error:.3e}  best possible {found.bound:.3e}  {milliseconds:6.1f} ms"
        )


if __name__ == "__main__":
    main()
