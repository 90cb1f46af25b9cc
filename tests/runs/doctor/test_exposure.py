import pytest

from runs.doctor import exposure, listeners
from runs.doctor.listeners import Listener

HERE = Listener("raylet", "127.0.0.1", 1000)
OPEN = Listener("raylet", "::", 1001)


class TestRay:
    @pytest.mark.long
    @pytest.mark.ray
    @pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore:.*accelerator visible devices:FutureWarning"
    )
    def test_a_real_one_is_safe(self):
        pytest.importorskip("ray")
        checks = {check.name: check for check in exposure.ray()}
        assert {name: check.status for name, check in checks.items()} == {
            "ray": "ok",
            "listeners": "ok" if listeners.is_known() else "warn",
            "authentication": "ok",
        }

    def test_what_can_be_reached_fails_without_a_token_and_warns_with_one(self):
        safe = exposure.listening([HERE], has_token=False)
        assert (safe.status, safe.detail) == ("ok", "1 of a local Ray, all on the loopback interface")
        guarded = exposure.listening([HERE, OPEN], has_token=True)
        assert guarded.status == "warn"
        assert "(raylet on all interfaces, port 1001); it wants a token, but a firewall" in guarded.detail
        bare = exposure.listening([HERE, OPEN], has_token=False)
        assert bare.status == "fail"
        assert "wants no token: who connects runs code here" in bare.detail

    def test_a_system_that_does_not_tell_warns(self):
        check = exposure.listening(None, has_token=True)
        assert (check.status, "no /proc/net/tcp" in check.detail) == ("warn", True)

    def test_a_ray_without_a_token_warns(self):
        assert exposure.authentication(True).status == "ok"
        assert exposure.authentication(False).status == "warn"


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        tmp_path.chmod(0o755)
        return tmp_path

    def test_run_directories_that_others_can_write_to_warn(self, folder):
        assert exposure.run_directories(folder).status == "ok"
        folder.chmod(0o1777)
        check = exposure.run_directories(folder)
        assert check.status == "warn"
        assert f"chmod o-w {folder}" in check.detail

    def test_temporary_files_that_others_can_replace_fail(self, folder):
        for mode in (0o755, 0o1777):
            folder.chmod(mode)
            assert exposure.temporary_directory(folder).status == "ok"
        folder.chmod(0o777)
        check = exposure.temporary_directory(folder)
        assert check.status == "fail"
        assert f"chmod +t {folder}" in check.detail

    def test_temporary_files_that_cannot_be_made(self, folder):
        with pytest.raises(FileNotFoundError):
            exposure.temporary_directory(folder / "missing")

    @pytest.mark.parametrize("changeable", ["", "package", "package/module.py", "package/inner/deep.py"])
    def test_source_that_others_can_change_fails(self, folder, changeable):
        (folder / "package" / "inner").mkdir(parents=True)
        for name in ("module.py", "inner/deep.py"):
            (folder / "package" / name).touch()
        (folder / "package" / "gone.py").symlink_to("nowhere")
        for path in (folder, *folder.rglob("*")):
            if path.exists():
                path.chmod(0o755)
        assert exposure.source([folder / "package"]).status == "ok"
        (folder / changeable).chmod(0o757)
        check = exposure.source([folder / "package"])
        assert check.status == "fail"
        assert f"({folder / changeable})" in check.detail

    def test_of_many_files_some_are_named(self, folder):
        for name in "abcde":
            (folder / name).touch()
            (folder / name).chmod(0o666)
        check = exposure.source(sorted(folder.iterdir()))
        assert f"({folder}/a; {folder}/b; {folder}/c; 2 more)" in check.detail
