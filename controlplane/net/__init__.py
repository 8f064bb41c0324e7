"""Shared by every port of the control plane: bounds of connections, and of open files."""
