import tempfile
from importlib import metadata

import torch

from runs.doctor import doctor
from runs.doctor.check import Check
from runs.machine import fingerprint, settings


class TestDoctor:
    def test_each_check_has_a_name_a_status_and_a_detail(self, monkeypatch):
        left_out = ("_import_ribs", "_source", "_temporary_directory", "ray")  # slow, or not of this place
        quick = [look for look in doctor.CHECKS if look.__name__ not in left_out]
        monkeypatch.setattr(doctor, "CHECKS", quick)
        checks = doctor.doctor()
        assert all(set(check) == {"name", "status", "detail"} for check in checks)
        assert {"threads", "MKL_CBWR", "algorithms", "processor", "gpu", "disk", "arithmetic"} <= {
            check["name"] for check in checks
        }
        assert {check["status"] for check in checks} <= {"ok", "warn"}

    def test_a_check_that_raises_has_failed(self, monkeypatch):
        def _broken_thing():
            raise ImportError("no such library")

        monkeypatch.setattr(doctor, "CHECKS", [_broken_thing])
        failed = {"name": "broken thing", "status": "fail", "detail": "ImportError: no such library"}
        assert doctor.doctor() == [failed]

    def test_settings_that_come_too_late_fail(self, monkeypatch):
        monkeypatch.setenv("MKL_CBWR", "AUTO")
        monkeypatch.setattr(doctor, "CHECKS", [doctor._settings])
        (check,) = doctor.doctor()
        assert check["status"] == "fail"
        assert "torch was loaded with MKL_CBWR 'AUTO'" in check["detail"]

    def test_another_mode_of_mkl_at_the_start_fails(self):
        wanted = settings.VARIABLES["MKL_CBWR"]
        assert [doctor.mkl(found).status for found in (None, wanted)] == ["ok", "ok"]
        check = doctor.mkl("AUTO")
        assert check.status == "fail"
        assert f"set to 'AUTO' outside, but runs on this processor need '{wanted}'" in check.detail

    def test_more_than_one_thread_fails(self):
        openblas = {"internal_api": "openblas", "num_threads": 1}
        assert doctor.threads(1, [openblas]).status == "ok"
        for check in (
            doctor.threads(2, [openblas]),
            doctor.threads(1, [{**openblas, "num_threads": 4}, openblas]),
        ):
            assert check.status == "fail"
        assert "1 in torch, 4 in openblas: sums change with their number" in check.detail

    def test_threads_are_those_of_this_process(self, monkeypatch):
        monkeypatch.setattr(doctor, "CHECKS", [doctor._settings])
        monkeypatch.setattr(settings, "prepare", lambda: None)
        torch.set_num_threads(2)
        try:
            statuses = {check["name"]: check["status"] for check in doctor.doctor()}
        finally:
            torch.set_num_threads(1)
        assert statuses == {"MKL_CBWR": "ok", "threads": "fail", "algorithms": "ok"}

    def test_algorithms_that_may_differ_fail(self):
        assert doctor.algorithms(True).status == "ok"
        check = doctor.algorithms(False)
        assert check.status == "fail"
        assert "use_deterministic_algorithms is off" in check.detail

    def test_a_processor_that_is_not_used_whole_warns(self):
        assert doctor.capability("a Xeon, AVX512", None) == Check("processor", "ok", "a Xeon, AVX512")
        check = doctor.capability("a Xeon, AVX2", "avx2")
        assert check.status == "warn"
        assert "limited by ATEN_CPU_CAPABILITY=avx2" in check.detail

    def test_arithmetic_that_does_not_repeat_fails(self, monkeypatch):
        digests = iter([{"svd": "a", "exp": "b"}, {"svd": "c", "exp": "b"}])
        monkeypatch.setattr(fingerprint, "probe", lambda: next(digests))
        monkeypatch.setattr(doctor, "CHECKS", [doctor._arithmetic])
        assert "svd repeated gave other bits" in doctor.doctor()[0]["detail"]

    def packages(self, monkeypatch, distribution):
        monkeypatch.setattr(doctor, "DISTRIBUTION", distribution)
        monkeypatch.setattr(doctor, "CHECKS", [doctor._packages])
        return doctor.doctor()

    def test_a_source_tree_without_an_install_warns(self, monkeypatch):
        (check,) = self.packages(monkeypatch, "no-such-distribution")
        assert check["status"] == "warn"
        assert "not installed here" in check["detail"]

    def test_installed_requirements_are_met_and_those_of_extras_are_left_out(self, monkeypatch):
        checks = self.packages(monkeypatch, "scipy")
        assert [check["name"] for check in checks] == ["python", "numpy"]
        assert {check["status"] for check in checks} == {"ok"}

    def test_a_missing_requirement_fails(self, monkeypatch):
        monkeypatch.setattr(metadata, "requires", lambda name: ["plasmodia-nothing>=1"])
        _, check = self.packages(monkeypatch, "scipy")
        assert check == {
            "name": "plasmodia-nothing",
            "status": "fail",
            "detail": "not installed; plasmodia-nothing>=1 is needed: run `make setup`",
        }

    def test_an_old_version_fails(self):
        assert doctor.requirement("torch>=2.11", "2.13.0+cpu", "torch 2.13.0").status == "ok"
        old = doctor.requirement("torch>=2.11", "2.9.1", "torch 2.9.1")
        assert old == Check("torch", "fail", "torch 2.9.1, but torch>=2.11 is needed: run `make setup`")

    def test_little_room_warns(self):
        assert doctor.room("disk", 2 * doctor.GIB, doctor.GIB, "here", "slow").status == "ok"
        little = doctor.room("disk", doctor.GIB // 16, doctor.GIB, "here", "slow")
        assert little == Check("disk", "warn", "0.06 GiB in here, 1 GiB advised: slow")

    def test_the_places_of_runs_temporary_files_and_source_are_looked_at(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(doctor, "sources", lambda: [tmp_path / "package"])
        looks = [doctor._run_directories, doctor._temporary_directory, doctor._source]
        monkeypatch.setattr(doctor, "CHECKS", looks)
        (tmp_path / "package").mkdir()
        tmp_path.chmod(0o700)
        assert [check["status"] for check in doctor.doctor()] == ["ok", "ok", "ok"]
        tmp_path.chmod(0o777)
        assert [check["status"] for check in doctor.doctor()] == ["warn", "fail", "fail"]
        (tmp_path / "out").mkdir(mode=0o700)
        assert doctor.doctor()[0]["detail"] == "others cannot write to out"
