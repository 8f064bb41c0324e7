"""Code made from harness.proto by grpcio-tools; see protos/README.md. Not edited by hand."""
