"""Files: objects as one file of numbers and text, and back."""
