"""Definitions in Nacos, for several control planes."""

from controlplane.store.nacos.store import NacosStore

__all__ = ["NacosStore"]
