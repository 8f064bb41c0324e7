"""The API server of a Kubernetes cluster: where it is, who Laneway is to it, and how a collection is watched.

Nothing here is imported unless Kubernetes is configured.
"""
