"""Features: what a step of the network reads, and the naive forecasts of its targets."""
