"""Definitions as custom resources of Kubernetes, shared by several control planes."""
