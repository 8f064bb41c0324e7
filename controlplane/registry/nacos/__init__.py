"""Nacos as a registry. Importing this is cheap: the SDK is loaded when the first client is opened."""

from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.discovery import NacosSource

__all__ = ["NacosConfig", "NacosSource"]
