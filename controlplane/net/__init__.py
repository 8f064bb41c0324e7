"""What every port of the control plane shares: who may be connected, and what the process may hold open."""
