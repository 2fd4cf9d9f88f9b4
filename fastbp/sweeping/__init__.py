"""Sweeps: many configurations, compared by validation data, on one machine or many.

`points` makes configurations from their numbers, `rungs` says how long each trains, `cohorts` and `shard_run`
train those of a shard, `dispatch` and `transport` bring shards to other processes, `journal` keeps what is
finished, and `sweep_result` is what the user gets. `docs/sweep.md` describes it all.
"""

from fastbp.sweeping.averaging import Ensemble
from fastbp.sweeping.search import sweep
from fastbp.sweeping.sweep_result import SweepResult

__all__ = ["Ensemble", "SweepResult", "sweep"]
