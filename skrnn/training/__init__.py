"""Training: batches drawn from the panel, and the loop that fits the network to them."""
