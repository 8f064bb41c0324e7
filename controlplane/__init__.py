"""Laneway: an Envoy control plane for end-to-end canary release by traffic lanes."""
