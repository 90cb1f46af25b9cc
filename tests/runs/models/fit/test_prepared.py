import pytest
import torch

from runs.errors import ConfigError
from runs.models.fit.prepared import device_of, prepare, users_own
from tests.fixtures.small_trainings import small

CUDA = torch.cuda.device_count() if torch.cuda.is_available() else 0


def test_auto_is_a_device_that_is_there_for_every_process():
    assert device_of("auto", 0, CUDA + 1).type in ("cpu", "mps")
    assert device_of("cpu", 3, 4) == torch.device("cpu")


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(
        ConfigError, match=f"device is cuda for {CUDA + 2} processes, but torch sees {CUDA} such device"
    ):
        device_of("cuda", 0, CUDA + 2)


def test_the_user_s_own_code_is_part_of_the_fingerprint():
    ours, own = prepare(small()), prepare(small(model__kind="tests.fixtures.own_models:own"))
    assert ours.fingerprint["user"] == {}
    assert own.fingerprint["user"]
    assert {**own.fingerprint, "user": {}} == ours.fingerprint


def test_all_that_may_be_a_user_s_own_is_named():
    config = small(data__name="a.b:task", model__experts__block__moe__router__router_type="c:Router")
    assert users_own(config) == [
        ("data.name", "a.b:task"),
        ("model.experts.block.moe.router.router_type", "c:Router"),
    ]
    assert users_own(small(model__kind="a.b:model")) == [("model.kind", "a.b:model")]
