import os
import re

import pytest

from tests.kernels.interpreted import SWITCH, needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="Triton interprets in this process"),
]
TENSORS = ("x", "weights", "y", "products")


@pytest.mark.parametrize("dtype", ["*bf16", "*fp32"])
@pytest.mark.parametrize("name", ["_rows_kernel", "_outer_kernel"])
def test_a_kernel_compiles_for_a_gpu_fits_into_it_and_has_no_atomics(name, dtype, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from kernels.grouped_gemm import triton_products
    from tests.kernels.compiled import SHARED_MEMORY, compiled

    kernel, launch = getattr(triton_products, name), triton_products._LAUNCH
    types = {each: dtype if each in TENSORS else "i32" for each in kernel.arg_names} | {"offsets": "*i64"}
    sizes = {
        "ROWS": triton_products._ROWS,
        "COLUMNS": triton_products._COLUMNS,
        "INNER": triton_products._INNER,
    }
    dense = {each: 1 for each in ("x_inner", "weights_column", "y_column", "offsets_group") if each in types}
    built = compiled(kernel, types | sizes | dense | {"GROUPS": 8}, launch["num_warps"], launch["num_stages"])
    assert 0 < built.metadata.shared <= SHARED_MEMORY
    assert "ld.global" in built.asm["ptx"]
    assert re.search(r"\b(atom|red)\.", built.asm["ptx"]) is None
