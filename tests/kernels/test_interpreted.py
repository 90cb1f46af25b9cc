import os

import pytest

from tests.kernels.interpreted import FILES, SWITCH, needs_triton, run_interpreted


@needs_triton
@pytest.mark.skipif(os.environ.get(SWITCH) == "1", reason="they are running already")
def test_the_kernels_pass_their_tests_in_tritons_interpreter(pytestconfig):
    done = run_interpreted(FILES, *["--sample"] * pytestconfig.getoption("--sample"))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
