"""Losses of a population's epochs, which kernels record while they train."""

from fastbp._jit import helper
from fastbp.kernels.records import get


@helper
def is_recorded(job, epoch):
    """Whether the losses of an epoch, counted from 1, are recorded."""
    every = get(job, "curve_every")
    return every > 0 and (epoch % every == 0 or epoch == get(job, "last_epoch"))


@helper
def place_in_curve(job, epoch, network):
    """Return where the loss of a network in a recorded epoch is."""
    every = get(job, "curve_every")
    return ((epoch + every - 1) // every - get(job, "curve_first")) * get(job, "n_lanes") + network
