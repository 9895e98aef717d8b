"""Tags: how each policy reads, orders and shows them. Pure: what a registry holds comes in as values."""
