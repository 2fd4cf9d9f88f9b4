"""Populations: many networks of the same layers, trained at once."""

from fastbp.populations.networks import Population
from fastbp.populations.population_callbacks import PopulationState
from fastbp.populations.population_result import PopulationResult
from fastbp.populations.population_training import train_population

__all__ = ["Population", "PopulationResult", "PopulationState", "train_population"]
