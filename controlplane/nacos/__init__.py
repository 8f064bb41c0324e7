"""What the registry source and the store of definitions share: how Nacos servers are reached, and what fails.

Both take one `NacosConnection` and raise the errors of `errors.py`; nothing else knows ports, namespaces,
logins or certificates of Nacos.
"""

from controlplane.nacos.access import NacosConnection

__all__ = ["NacosConnection"]
