"""Definitions that many tests begin with."""

ENTRANCE = """
kind: Gateway
name: edge
listeners: [{port: 8080}]
---
kind: Route
gateway: edge
name: a
match: {path: {prefix: /a}}
service: sc-A
---
"""
"""A gateway with one route, as YAML that further documents may follow."""
