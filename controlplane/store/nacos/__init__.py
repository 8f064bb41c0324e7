"""Definitions in Nacos, which several control planes share."""

from controlplane.store.nacos.shared_store import NacosStore

__all__ = ["NacosStore"]
