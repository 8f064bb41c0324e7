"""The one thing that has to be known of a resource's content: where a cluster's endpoints are."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from .messages import Cluster


def endpoints_of(name: str, body: bytes) -> str:
    """The EDS resource of a serialised cluster: `eds_cluster_config.service_name`, else the cluster's name.

    A body that is no cluster has no endpoints of another name; that it is wrong is for the client to say.
    """
    try:
        cluster = Cluster.FromString(body)
    except DecodeError:
        return name
    return cluster.eds_cluster_config.service_name or name
