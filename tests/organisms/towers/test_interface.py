"""The names that the documents' users take from the library, and what each of them is."""

import inspect
import subprocess
import sys
from textwrap import dedent

import pytest

import organisms.towers

# Named by the documents: components, routers, towers, the ways to compute many of them, and ports.
DOCUMENTED = {
    *("BaseComponent", "TorchComponent", "BaseRouter", "BaseTower", "WideRouter", "ExecutionStrategy"),
    *(
        "VMapTowerGroup",
        "WidePrimitiveTowerGroup",
        "SubEnsembleGroup",
        "GradientDebugger",
        "CacheDeviceController",
    ),
    *("ConfigurableTower", "ConfigurableCollective", "ProjectionComponent", "SlotProjection"),
    *("ConvTowerConfig", "ConfigurableConvTower", "ConvTowerCollective", "FlexibleInputComponent"),
    *("CompileRouter", "CompiledWideRouter", "compile_module"),
    *("MultiScaleConvBlock", "ChannelMixerBlock", "SpatialToOpinionComponent"),
    *("preset_flux_vae_towers", "preset_sd_vae_towers", "preset_sequence_towers"),
    *("BasePort", "TorchPort", "QwenPort", "DINOPort", "CLIPPort", "VAEPort"),
}
METHODS = {
    "BasePort": ("preprocess", "encode", "postprocess", "load", "unload"),
    "TorchPort": ("to", "cuda", "cpu", "half", "float", "bfloat16", "freeze", "unfreeze"),
    "BaseRouter": (
        *("attach", "detach", "reset", "network_to", "cache_set", "cache_get", "cache_clear", "cache_keys"),
        *("cache_clear_recursive", "cache_size_bytes", "cache_to", "cache_to_recursive", "cache_debug"),
    ),
    "WideRouter": (
        *(
            "register_tower",
            "unregister_tower",
            "discover_towers",
            "analyze_structure",
            "wide_forward",
            "compile",
        ),
        *(
            "prepare_for_compile",
            "prepare_and_compile",
            "build_sub_ensembles",
            "wide_forward_ensemble",
            "reset",
        ),
        *("gradient_report", "check_fusion_health", "validate_cache_devices", "get_wide_stats"),
        *("get_fusion_coverage", "clear_tower_caches"),
    ),
    "CompileRouter": (
        *("from_module", "introspect", "compile_towers", "print_stages", "get_compilation_stats"),
        *("build_vmap_groups", "build_wide_router", "compile"),
    ),
}


def test_the_documents_names_are_exported():
    assert set(organisms.towers.__all__) >= DOCUMENTED
    assert set(dir(organisms.towers)) >= DOCUMENTED


@pytest.mark.parametrize("name", METHODS)
def test_the_documents_methods_are_there(name):
    assert [
        each for each in METHODS[name] if not inspect.getdoc(getattr(getattr(organisms.towers, name), each))
    ] == []


def test_the_documents_strategies_are_there():
    strategies = organisms.towers.ExecutionStrategy
    assert [each.name for each in strategies] == ["SEQUENTIAL", "VMAP", "WIDE_COMPILER", "AUTO"]


def test_torch_is_loaded_by_what_computes_and_by_no_plain_component():
    code = dedent("""
        import sys
        import organisms.towers
        from organisms.towers import BaseComponent
        dir(organisms.towers)
        BaseComponent("config")
        assert "torch" not in sys.modules
        from organisms.towers import TorchComponent
        assert "torch" in sys.modules
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", organisms.towers.__all__)
def test_each_name_is_that_of_what_it_stands_for_and_is_described(name):
    value = getattr(organisms.towers, name)
    assert value.__name__ == name
    assert value.__module__.startswith("organisms.towers.")
    assert inspect.getdoc(value)
