"""Registries: what services there are, and where their instances stand."""
