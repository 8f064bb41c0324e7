"""The Nacos source. Importing it is cheap: the SDK is loaded when a connection is made."""

from controlplane.registry.nacos.config import NacosConfig
from controlplane.registry.nacos.discovery import NacosSource

__all__ = ["NacosConfig", "NacosSource"]
