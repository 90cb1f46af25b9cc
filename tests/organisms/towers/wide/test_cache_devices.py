import pytest
import torch

from organisms.towers import CacheDeviceController, WideRouter
from tests.organisms.towers.blocks import CachingTower


def cached(policy):
    router = WideRouter("wide", cache_preservation_policy=policy)
    router.attach("tower", CachingTower("tower", 4))
    router.wide_forward(torch.ones(2, 4))
    assert router["tower"].cache_keys() == ["features"]
    return router


def test_caches_are_cleared():
    router = cached("clear").network_to(device="meta")
    assert (router.cache_debug(), router.cache_controller.pending(router)) == ({}, {})


def test_caches_migrate():
    router = cached("migrate").network_to(device="meta", dtype=torch.float64)
    features = router["tower"].cache_get("features")
    assert (features.device.type, features.dtype) == ("meta", torch.float64)
    assert router.validate_cache_devices() == []


def test_caches_are_reconstructed_by_the_next_pass():
    router = cached("reconstruct").network_to(dtype=torch.float64)
    pending = router.cache_controller.pending
    assert (router.cache_debug(), pending(router)) == ({}, {"components.tower": ["features"]})
    router.wide_forward(torch.ones(2, 4, dtype=torch.float64))
    assert pending(router) == {}


def test_a_cache_left_behind_is_found():
    router = cached("migrate").network_to(device="meta", clear_cache=False)
    assert router.validate_cache_devices() == ["components.tower: features is on cpu, its router on meta"]


def test_a_policy_is_known():
    with pytest.raises(ValueError, match="must be one of clear, migrate, reconstruct, but is 'keep'"):
        CacheDeviceController("keep")
