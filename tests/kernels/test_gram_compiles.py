import os

import pytest

from tests.kernels.interpreted import SWITCH, needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="Triton interprets in this process"),
]


# Triton compiles anew where a number is 1.
@pytest.mark.parametrize(
    ("centred", "dtype", "ones"),
    [
        (False, "*bf16", ["stride_d"]),
        (True, "*fp32", []),
        (True, "*fp16", ["N", "D", "tiles", "stride_b", "stride_n", "stride_d"]),
    ],
)
def test_the_kernel_compiles_for_a_gpu_and_fits_into_it(centred, dtype, ones, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from kernels.correlation.triton_gram import DEPTH, TILE, WARPS, lower_tiles
    from tests.kernels.compiled import SHARED_MEMORY, compiled

    moment = "*fp32" if centred else dtype  # without moments the kernel is given x in their place
    pointers = {"x_ptr": dtype, "shift_ptr": moment, "factor_ptr": moment, "out_ptr": "*fp32"}
    numbers = dict.fromkeys(("N", "D", "tiles", "stride_b", "stride_n", "stride_d"), "i32") | dict.fromkeys(
        ones, 1
    )
    constants = {"CENTRED": centred, "TILE": TILE, "DEPTH": DEPTH}
    built = compiled(lower_tiles, pointers | numbers | constants, warps=WARPS, stages=3)
    assert 0 < built.metadata.shared <= SHARED_MEMORY
