"""The one thing that has to be known of a resource's content: where a cluster's endpoints are."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from .messages import Cluster


def endpoints_of(name: str, body: bytes) -> str:
    """The EDS resource of a serialised cluster: `eds_cluster_config.service_name`, else the cluster's name.

    A body that cannot be parsed as a cluster counts as one without a service name: the client that gets it
    says what is wrong with it.
    """
    try:
        cluster = Cluster.FromString(body)
    except DecodeError:
        return name
    return cluster.eds_cluster_config.service_name or name
