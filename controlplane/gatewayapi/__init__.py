"""HTTPRoutes of the Gateway API of Kubernetes as base routes. Imported only where that is configured."""
