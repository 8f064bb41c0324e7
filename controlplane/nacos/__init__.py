"""What the registry source and the store of definitions share: the way to the Nacos servers."""

from controlplane.nacos.connection import NacosConnection

__all__ = ["NacosConnection"]
