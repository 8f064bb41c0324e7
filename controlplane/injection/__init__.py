"""Puts a sidecar into pods of Kubernetes when they are created."""
