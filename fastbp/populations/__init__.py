"""Populations: many networks of the same layers, trained at once."""

from fastbp.populations.networks import Population

__all__ = ["Population"]
