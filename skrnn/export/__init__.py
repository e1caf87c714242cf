"""A fitted forecaster as one ONNX file: the graph of its forecasts, and the file."""
