import json
import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import onednn
from runs.errors import RunError
from runs.machine import fingerprint, settings, source_digest

ROOT = Path(settings.__file__).parents[2]

KEYS = st.sampled_from(["a", "b", "c"])
NESTED = st.dictionaries(KEYS, st.integers(0, 2) | st.dictionaries(KEYS, st.integers(0, 2), min_size=1))

FRESH = """
import sys
import runs.machine.settings, runs.doctor.doctor
assert not {"torch", "numpy"} & set(sys.modules), "loaded before the settings are made"
import numpy  # a BLAS that has already read its variables
runs.machine.settings.prepare()
runs.machine.settings.prepare()
import json, threadpoolctl
import sklearn.utils
threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
import torch
from kernels import onednn
x = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
exact = x.double() @ x.double().T
error = (onednn.product(x, x) - exact).norm() / exact.norm() if onednn.available() else torch.zeros(())
import resource
faults = []
for _ in range(10):
    [torch.ones(2**22) for _ in range(4)]  # 16 MiB each
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
unneeded = [name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules]
import torch._inductor.config as inductor
print(json.dumps([
    threads, runs.machine.fingerprint.fingerprint(["qd.seeding"]), error.item(), faults[-1] - faults[4],
    unneeded, inductor.deterministic,
]))
"""


@pytest.fixture(scope="module")
def fresh():
    """Prepare a new process, whose variables ask for something else, and give what it says."""
    dropped = {name: value for name, value in os.environ.items() if name not in settings.VARIABLES}
    asked = {
        "OMP_NUM_THREADS": "2",
        "MKL_CBWR": "AUTO",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "PLASMODIA_ONEDNN": settings.VARIABLES["PLASMODIA_ONEDNN"],
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH],
        env=dropped | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestPrepare:
    @pytest.mark.long
    def test_every_library_has_one_thread(self, fresh):
        threads, *_ = fresh
        assert len(threads) >= 2
        assert set(threads) == {1}

    def test_onednn_keeps_float32_whatever_is_asked_of_it_outside(self, fresh):
        _, _, error, *_ = fresh
        assert error < 1e-6

    @pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told to keep memory")
    def test_memory_that_was_freed_is_not_fetched_again(self, fresh):
        _, _, _, faults, *_ = fresh
        assert faults < 1000  # of 5 x 16,384 pages

    def test_another_process_has_the_same_fingerprint(self, fresh):
        _, there, *_ = fresh
        here = json.loads(json.dumps(fingerprint.fingerprint(["qd.seeding"])))
        assert fingerprint.differences(there, here) == ()
        assert there == here

    def test_inductor_is_not_loaded_and_would_be_deterministic(self, fresh):
        *_, unneeded, deterministic = fresh
        assert (unneeded, deterministic) == ([], True)

    def test_the_settings_are_made(self):
        settings.prepare()
        assert settings.VARIABLES.items() <= os.environ.items()
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32

    @pytest.mark.parametrize("found", ["AUTO", None])
    def test_it_comes_too_late_after_torch(self, monkeypatch, found):
        if found is None:
            monkeypatch.delenv("MKL_CBWR")
        else:
            monkeypatch.setenv("MKL_CBWR", found)
        with pytest.raises(RunError, match=f"MKL_CBWR {'unset' if found is None else repr(found)}, but runs"):
            settings.prepare()

    @pytest.mark.parametrize(
        ("flags", "mode"), [("sse2 avx2 fma", "AVX2,STRICT"), ("sse2 avx", "COMPATIBLE"), ("", "COMPATIBLE")]
    )
    def test_the_mode_of_mkl_follows_the_processor(self, flags, mode):
        assert settings.variables(flags)["MKL_CBWR"] == mode

    @pytest.mark.parametrize("asked", ["0", "1"])
    def test_whether_onednn_may_multiply_is_the_users_choice_which_every_worker_and_the_fingerprint_hear(
        self, asked
    ):
        code = "from runs.machine import settings; print(settings.VARIABLES['PLASMODIA_ONEDNN'])"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PLASMODIA_ONEDNN": asked, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == asked
        here = settings.VARIABLES["PLASMODIA_ONEDNN"]
        assert fingerprint.fingerprint()["settings"]["PLASMODIA_ONEDNN"] == here

    def test_another_choice_about_onednn_is_no_choice(self, monkeypatch):
        monkeypatch.setattr(settings, "VARIABLES", settings.VARIABLES | {"PLASMODIA_ONEDNN": "off"})
        with pytest.raises(RunError, match="PLASMODIA_ONEDNN is 'off', but must be 0 or 1; 0 switches"):
            settings.prepare()

    @pytest.mark.parametrize("size", [5, 64, 129])
    def test_products_do_not_depend_on_where_a_matrix_lies(self, size):
        generator = torch.Generator().manual_seed(0)
        left, right = torch.randn(2, size, size, generator=generator)
        for offset in (1, 2, 3):
            moved = torch.empty(size * size + offset)[offset:].view(size, size).copy_(left)
            assert torch.equal(moved @ right, left @ right)


class TestFingerprint:
    def test_the_probe_repeats(self):
        assert fingerprint.probe() == fingerprint.probe()

    def test_the_probe_sees_the_last_bit(self, monkeypatch):
        before = fingerprint.probe()
        exp, cos = torch.exp, math.cos
        monkeypatch.setattr(torch, "exp", lambda x: torch.nextafter(exp(x), torch.tensor(torch.inf)))
        monkeypatch.setattr(math, "cos", lambda x: math.nextafter(cos(x), math.inf))
        after = fingerprint.probe()
        assert [name for name in before if before[name] != after[name]] == ["exp", "libm"]

    def test_it_holds_nothing_of_this_place(self):
        text = json.dumps(fingerprint.fingerprint())
        assert str(ROOT) not in text
        assert os.uname().nodename not in text

    def test_versions_are_those_installed(self):
        libraries = fingerprint.libraries()
        assert libraries["numpy"] == np.__version__
        assert libraries["torch"] == torch.__version__

    def test_a_library_that_is_missing_is_said_to_be(self, monkeypatch):
        monkeypatch.setattr(fingerprint, "LIBRARIES", ("no-such-distribution",))
        assert fingerprint.libraries()["no-such-distribution"] is None

    def test_another_thread_count_is_a_difference(self):
        before = fingerprint.fingerprint()
        torch.set_num_threads(2)
        after = fingerprint.fingerprint()
        torch.set_num_threads(1)
        assert "settings.torch threads: 1 against 2" in fingerprint.differences(before, after)

    def test_another_library_for_products_is_a_difference(self, monkeypatch):
        monkeypatch.setattr(onednn, "faster", lambda: False)
        before = fingerprint.fingerprint()
        monkeypatch.setattr(onednn, "faster", lambda: True)
        after = fingerprint.fingerprint()
        assert fingerprint.differences(before, after) == ("settings.products by oneDNN: False against True",)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
    def test_cuda_needs_a_device(self):
        with pytest.raises(RunError, match="asks for device 'cuda', but torch sees no CUDA device"):
            fingerprint.fingerprint(device="cuda")

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_cuda_is_probed(self):
        first, second = fingerprint.fingerprint(device="cuda"), fingerprint.fingerprint(device="cuda")
        assert first == second
        assert first["gpu"]["model"] == torch.cuda.get_device_name(0)

    def test_a_difference_names_the_key_and_both_values(self):
        first = {"b": {"x": 1, "digest": "0" * 64}, "a": "same", "c": None}
        second = {"b": {"y": 2, "digest": "1" * 64}, "a": "same"}
        assert fingerprint.differences(first, second) == (
            "b.digest: 000000000000 against 111111111111",
            "b.x: 1 against nothing",
            "b.y: nothing against 2",
            "c: None against nothing",
        )

    @given(NESTED, NESTED)
    def test_nothing_differs_exactly_between_equals(self, first, second):
        assert fingerprint.differences(first, first) == ()
        assert (fingerprint.differences(first, second) == ()) == (first == second)


FILES = {"__init__.py": "", "inner.py": "x = 1", "deep/__init__.py": "", "deep/b.yaml": "y: 2"}


class TestSourceDigests:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch):
        """Give a function that writes a package in a fresh place on Python's path and hashes it."""
        places = iter(range(100))

        def write(files: dict[str, str]) -> str:
            place = tmp_path / str(next(places))
            for name, content in files.items():
                path = place / "plasmodia_sample" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            with monkeypatch.context() as patch:
                patch.syspath_prepend(place)
                return source_digest.source_digests(["plasmodia_sample.inner"])["plasmodia_sample"]

        return write

    def test_the_place_does_not_matter(self, package):
        assert package(FILES) == package(dict(reversed(FILES.items())))

    @pytest.mark.parametrize(
        "change", [{"inner.py": "x = 2"}, {"deep/b.yaml": "y: 3"}, {"new.py": ""}, {"deep/c.yaml": ""}]
    )
    def test_source_matters(self, package, change):
        assert package(FILES) != package(FILES | change)

    def test_a_file_moved_matters(self, package):
        moved = {name.replace("inner", "outer"): content for name, content in FILES.items()}
        assert package(FILES) != package(moved)

    @pytest.mark.parametrize("name", ["notes.txt", "inner.pyc", ".checkpoints/inner.py", "deep/.inner.py"])
    def test_other_files_do_not(self, package, name):
        assert package(FILES) == package(FILES | {name: "anything"})

    def test_a_package_may_lack_an_init_file(self, package):
        assert package({"inner.py": "x = 1"}) != package({"inner.py": "x = 2"})

    def test_a_single_file_is_a_module(self, tmp_path, monkeypatch):
        (tmp_path / "plasmodia_single.py").write_text("x = 1")
        (tmp_path / "beside.py").write_text("x = 1")
        monkeypatch.syspath_prepend(tmp_path)
        before = source_digest.source_digests(["plasmodia_single"])
        (tmp_path / "beside.py").write_text("x = 2")
        assert source_digest.source_digests(["plasmodia_single"]) == before
        (tmp_path / "plasmodia_single.py").write_text("x = 2")
        assert source_digest.source_digests(["plasmodia_single"]) != before

    def test_the_six_packages_and_the_users_are_found_without_importing_them(self, tmp_path, monkeypatch):
        for name in ("plasmodia_shipped", "plasmodia_shipped/inner"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("raise RuntimeError")
        monkeypatch.syspath_prepend(tmp_path)
        found = source_digest.sources(["plasmodia_shipped.inner", "plasmodia_shipped", "runs.tasks"])
        six = [ROOT / name for name in source_digest.PACKAGES]
        assert sorted(found) == sorted([*six, tmp_path / "plasmodia_shipped"])

    def test_the_six_packages_are_those_that_were_loaded(self, tmp_path, monkeypatch):
        before = source_digest.source_digests(["analysis"])
        (tmp_path / "analysis.py").write_text("another")
        monkeypatch.delitem(sys.modules, "analysis", raising=False)
        monkeypatch.syspath_prepend(tmp_path)
        assert source_digest.source_digests(["analysis"]) == before
        assert ROOT / "analysis" in source_digest.sources()

    def test_a_module_that_is_nowhere(self):
        with pytest.raises(RunError, match="there is no module 'plasmodia_nowhere' on Python's path"):
            source_digest.source_digests(["plasmodia_nowhere.inner"])
        with pytest.raises(RunError, match="there is no module 'plasmodia_nowhere'"):
            source_digest.sources(["plasmodia_nowhere"])

    def test_a_module_that_came_from_no_file(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "plasmodia_typed", ModuleType("plasmodia_typed"))
        with pytest.raises(RunError, match="there is no module 'plasmodia_typed'"):
            source_digest.source_digests(["plasmodia_typed"])

    def test_a_module_without_source(self):
        with pytest.raises(RunError, match=r"'sys' has no \.py file, but its source is part of a run"):
            source_digest.source_digests(["sys"])

    def test_source_that_cannot_be_read(self, monkeypatch):
        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(RunError, match=r"'qd' cannot be read, but is part of a run: .*Permission denied"):
            source_digest.source_digests(["qd"])
