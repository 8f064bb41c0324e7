"""What releases ask of others over HTTP: values of a Prometheus, and web hooks. Where an admin allows it."""
