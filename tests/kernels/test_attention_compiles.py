import os

import pytest

from tests.kernels.interpreted import SWITCH, needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="Triton interprets in this process"),
]
TYPES = dict.fromkeys(("scale_ptr", "window_ptr", "positions_ptr", "lse_ptr", "delta_ptr"), "*fp32") | {
    "key_mask_ptr": "*u8",
    "statistics_ptr": "*fp32",
    "rows": "i32",
    "heads": "i32",
    "length": "i32",
}
ABSENT = {"statistics_ptr": None, "window_ptr": None, "key_mask_ptr": None}
SIZES = {"R": 8, "W": 16, "padded_R": 16, "padded_W": 16, "axes": 2, "padded_axes": 2}


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", ["forward", "queries", "keys"])
def test_a_kernel_compiles_for_a_gpu_and_fits_into_it(name, everything, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from kernels.attention.triton import backward, forward
    from kernels.attention.triton.tiles import TILES
    from tests.kernels.compiled import SHARED_MEMORY, compiled

    kernels = {
        "forward": forward._forward,
        "queries": backward._queries,
        "keys": backward._keys,
    }
    kernel = kernels[name]
    tiles = TILES["measured" if everything and name == "forward" else name][2][16]
    inputs = {each: "*bf16" for each in kernel.arg_names if each.endswith("_ptr")} | TYPES
    constants = SIZES | {"causal": not everything, "M": tiles.queries, "N": tiles.keys}
    arguments = inputs | constants | ({} if everything else ABSENT)
    built = compiled(kernel, arguments, tiles.warps, tiles.stages)
    assert 0 < built.metadata.shared <= SHARED_MEMORY
