"""Stopping rules of many networks at once: those of `fastbp.kernels.rules`, with a state for each network."""

from fastbp._jit import kernel
from fastbp.kernels.rules import BEST, BEST_EPOCH, add_to_strip, improves, judge, progress_of_strip
from fastbp.simd import address, element, put, shifted


@kernel
def judge_networks(states, constants, program, minimum, epoch, values, active, better, stopped):
    """Show every active network's value at an evaluation to its rules.

    Parameters
    ----------
    states : float64[n_networks, state_size], C-contiguous, written
    constants : float64[n_rules, N_CONSTANTS], C-contiguous
    program : int64[n_program]
    minimum : float64
        An improvement is more than this.
    epoch : int
    values : float64[n_networks]
        What the rules look at; lower is better.
    active : bool[n_networks]
    better, stopped : bool[n_networks], written
        Whether the value is the best so far, and whether the rules end the network's training.
    """
    for i in range(values.size):
        better[i] = stopped[i] = False
        if active[i]:
            state = shifted(address(states), i * states.shape[1])
            if improves(values[i], element(state, BEST), minimum):
                put(state, BEST, values[i])
                put(state, BEST_EPOCH, float(epoch))
                better[i] = True
            progress = progress_of_strip(state)
            stopped[i] = judge(address(constants), address(program), program.size, state, values[i], progress)


@kernel
def add_to_strips(states, losses, active):
    """Take note of the loss of an epoch of every active network.

    Parameters
    ----------
    states : float64[n_networks, state_size], C-contiguous, written
    losses : float64[n_networks]
    active : bool[n_networks]
    """
    for i in range(losses.size):
        if active[i]:
            add_to_strip(shifted(address(states), i * states.shape[1]), losses[i])
