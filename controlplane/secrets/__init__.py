"""Certificates with their keys that the control plane holds for the listeners of gateways."""
