"""Configurations of towers that look at one input in four ways: with one scale or three, channels mixed or not.

The documents say that towers need to see differently, and name the presets by what they read. Several towers of a way
are of one structure, and are computed together.
"""

from typing import Any

from organisms.towers.configured.convolutional.config import ConvTowerConfig
from organisms.towers.fusion.component import check_sizes

WAYS = {
    "plain": {},
    "multiscale": {"use_multiscale": True},
    "mixed": {"use_channel_mixer": True},
    "multiscale_mixed": {"use_multiscale": True, "use_channel_mixer": True},
}


def preset_flux_vae_towers(copies: int = 2, **options: Any) -> dict[str, ConvTowerConfig]:
    """Return configurations for latents of 16 channels, pooled by attention, by the names of towers.

    Parameters
    ----------
    copies
        Towers of each of the four ways.
    options
        Those of `ConvTowerConfig`, for all towers.

    Raises
    ------
    ValueError
        If there is no such option, or no tower.
    """
    return _in_all_ways(
        copies, {"in_channels": 16, "input_mode": "spatial", "pool_mode": "attention"} | options
    )


def preset_sd_vae_towers(copies: int = 2, **options: Any) -> dict[str, ConvTowerConfig]:
    """Return configurations for latents of 4 channels, pooled by their mean, by the names of towers.

    Parameters
    ----------
    copies, options
        As of `preset_flux_vae_towers`.
    """
    return _in_all_ways(
        copies, {"in_channels": 4, "input_mode": "spatial", "pool_mode": "adaptive"} | options
    )


def preset_sequence_towers(copies: int = 2, **options: Any) -> dict[str, ConvTowerConfig]:
    """Return configurations for sequences [B, L, 256], or of another `in_channels`, by the names of towers.

    Parameters
    ----------
    copies, options
        As of `preset_flux_vae_towers`.
    """
    return _in_all_ways(
        copies, {"in_channels": 256, "input_mode": "sequence", "pool_mode": "attention"} | options
    )


def _in_all_ways(copies: int, options: dict[str, Any]) -> dict[str, ConvTowerConfig]:
    check_sizes("the preset", copies=copies)
    return {
        f"{way}_{i}": ConvTowerConfig.model_validate(options | own)
        for way, own in WAYS.items()
        for i in range(copies)
    }
