"""Built-in stochastic drivers."""
