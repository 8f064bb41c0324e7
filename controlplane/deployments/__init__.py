"""Deployments of Kubernetes behind the instances of a promotion. Imported only where that is configured."""
