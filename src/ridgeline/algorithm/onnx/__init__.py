"""The only door to ONNX: reading, writing and running its files."""
