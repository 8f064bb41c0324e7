"""Registries: which services there are, and at which addresses their instances are."""
