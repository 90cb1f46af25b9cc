"""Towers: networks of the same input whose opinions are fused, from components to wide collectives.

The names below are the library's public interface, each imported when it is first used. A tower is a `BaseTower` of
stages, a collective a `WideRouter` that computes all its towers together.
"""

from typing import TYPE_CHECKING

from organisms.lazy import exports

if TYPE_CHECKING:
    from organisms.towers.compile.compile_router import CompileRouter as CompileRouter
    from organisms.towers.compile.compile_router import compile_module as compile_module
    from organisms.towers.compile.wide_module import CompiledWideRouter as CompiledWideRouter
    from organisms.towers.component import TorchComponent as TorchComponent
    from organisms.towers.configured.collective import ConfigurableCollective as ConfigurableCollective
    from organisms.towers.configured.config import TowerConfig as TowerConfig
    from organisms.towers.configured.convolutional.blocks import ChannelMixerBlock as ChannelMixerBlock
    from organisms.towers.configured.convolutional.blocks import MultiScaleConvBlock as MultiScaleConvBlock
    from organisms.towers.configured.convolutional.collective import (
        ConvTowerCollective as ConvTowerCollective,
    )
    from organisms.towers.configured.convolutional.config import ConvTowerConfig as ConvTowerConfig
    from organisms.towers.configured.convolutional.flexible_input import (
        FlexibleInputComponent as FlexibleInputComponent,
    )
    from organisms.towers.configured.convolutional.opinion import (
        SpatialToOpinionComponent as SpatialToOpinionComponent,
    )
    from organisms.towers.configured.convolutional.presets import (
        preset_flux_vae_towers as preset_flux_vae_towers,
    )
    from organisms.towers.configured.convolutional.presets import preset_sd_vae_towers as preset_sd_vae_towers
    from organisms.towers.configured.convolutional.presets import (
        preset_sequence_towers as preset_sequence_towers,
    )
    from organisms.towers.configured.convolutional.tower import ConfigurableConvTower as ConfigurableConvTower
    from organisms.towers.configured.projection import LinearProjection as LinearProjection
    from organisms.towers.configured.projection import ProjectionComponent as ProjectionComponent
    from organisms.towers.configured.projection import SlotProjection as SlotProjection
    from organisms.towers.configured.tower import ConfigurableTower as ConfigurableTower
    from organisms.towers.fusion.adaptive import AdaptiveFusion as AdaptiveFusion
    from organisms.towers.fusion.attention import AttentionFusion as AttentionFusion
    from organisms.towers.fusion.binding import AdaptiveBindingFusion as AdaptiveBindingFusion
    from organisms.towers.fusion.builder import FusionBuilder as FusionBuilder
    from organisms.towers.fusion.cantor import CantorScaleFusion as CantorScaleFusion
    from organisms.towers.fusion.collective import FusionCollective as FusionCollective
    from organisms.towers.fusion.component import FusionComponent as FusionComponent
    from organisms.towers.fusion.concat import ConcatFusion as ConcatFusion
    from organisms.towers.fusion.gated import GatedFusion as GatedFusion
    from organisms.towers.fusion.sum import SumFusion as SumFusion
    from organisms.towers.fusion.tree import HierarchicalTreeGating as HierarchicalTreeGating
    from organisms.towers.geometry.address import AddressComponent as AddressComponent
    from organisms.towers.geometry.address import HyperbolicAddressComponent as HyperbolicAddressComponent
    from organisms.towers.geometry.address import SphericalAddressComponent as SphericalAddressComponent
    from organisms.towers.geometry.notifier import NotifierRouter as NotifierRouter
    from organisms.towers.identity import BaseComponent as BaseComponent
    from organisms.towers.ports.clip import CLIPPort as CLIPPort
    from organisms.towers.ports.dino import DINOPort as DINOPort
    from organisms.towers.ports.port import BasePort as BasePort
    from organisms.towers.ports.qwen import QwenPort as QwenPort
    from organisms.towers.ports.torch_port import TorchPort as TorchPort
    from organisms.towers.ports.vae import VAEPort as VAEPort
    from organisms.towers.router import BaseRouter as BaseRouter
    from organisms.towers.tower import BaseTower as BaseTower
    from organisms.towers.walkers.fusion import WalkerFusion as WalkerFusion
    from organisms.towers.walkers.fusion import create_walker_fusion as create_walker_fusion
    from organisms.towers.walkers.inception import WalkerInception as WalkerInception
    from organisms.towers.walkers.walker import ConfigurableWalker as ConfigurableWalker
    from organisms.towers.wide.cache_devices import CacheDeviceController as CacheDeviceController
    from organisms.towers.wide.gradients import GradientDebugger as GradientDebugger
    from organisms.towers.wide.groups.ensemble import SubEnsembleGroup as SubEnsembleGroup
    from organisms.towers.wide.groups.primitive_group import (
        WidePrimitiveTowerGroup as WidePrimitiveTowerGroup,
    )
    from organisms.towers.wide.groups.vmap_group import VMapTowerGroup as VMapTowerGroup
    from organisms.towers.wide.strategy import ExecutionStrategy as ExecutionStrategy
    from organisms.towers.wide.wide_router import WideRouter as WideRouter
else:
    __all__, __getattr__, __dir__ = exports(__name__)
