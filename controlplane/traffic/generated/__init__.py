"""Code made from protos/ by grpcio-tools; see protos/README.md. Not edited by hand."""
