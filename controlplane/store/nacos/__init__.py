"""Definitions in Nacos, for several control planes."""

from controlplane.store.nacos.shared_store import NacosStore

__all__ = ["NacosStore"]
