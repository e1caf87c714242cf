"""Files: a forecaster as one file of numbers and text, and back."""
