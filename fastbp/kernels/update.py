"""Updates of parameters in memory, by the rules of `fastbp.kernels.update_rules`."""

from fastbp._jit import helper, routine
from fastbp.kernels.tuples import elements, put_each, replaced, store_each, wide_load_each, wide_splats
from fastbp.kernels.update_rules import HYPERPARAMETERS, RULES
from fastbp.optimizers import SGD
from fastbp.simd import store, wide, wide_load


def reader(Names):
    """Return a helper that reads a named tuple of float64 numbers from an address."""
    count = len(Names._fields)

    @helper
    def read(numbers):
        return Names(*elements(numbers, count))

    return read


sgd_hyperparameters = reader(HYPERPARAMETERS[SGD])


def constants_of(rule):
    """Return a routine that writes a rule's constants of a step."""
    hyperparameters, constants_of_step = reader(HYPERPARAMETERS[rule.optimizer]), rule.constants

    @routine
    def write(hyper, rate, step, constants):
        put_each(constants, constants_of_step(hyperparameters(hyper), rate, step))

    return write


def update_by(rule):
    """Return a routine that takes a rule's step with n parameters, vector by vector."""
    constants_of_step, rule_on_registers, n_states = reader(rule.Constants), rule.update, rule.n_states

    @routine
    def update(constants, l2, theta, gradient, state, distance, n):
        numbers = constants_of_step(constants)
        c = wide_splats(replaced(numbers, "decay", numbers.decay + l2), theta)
        for k in range(0, n, wide(theta)):
            states = wide_load_each(state, k, distance, n_states)
            after = rule_on_registers(wide_load(theta, k), wide_load(gradient, k), *states, c)
            store(theta, k, after[0])
            store_each(state, k, distance, after[1:])

    return update


def by_code(functions, code=0):
    """Return a helper that calls one of the functions by its code; the code of the first is `code`.

    It compares with ``<=``. LLVM makes a jump table of ``==``, and a step of 4-10-3 takes 20 ns longer.
    """
    function, others = functions[0], functions[1:]
    if not others:

        @helper
        def last(chosen, *arguments):
            function(*arguments)

        return last

    rest = by_code(others, code + 1)

    @helper
    def choose(chosen, *arguments):
        if chosen <= code:
            function(*arguments)
        else:
            rest(chosen, *arguments)

    return choose


write_constants = by_code([constants_of(rule) for rule in RULES])
update_vectors = by_code([update_by(rule) for rule in RULES])


@routine
def step_constants(code, hyper, rate, step, constants):
    """Compute the constants of a step, and write them to `constants`.

    Parameters
    ----------
    code : int
        The code of the rule.
    hyper, constants
        Addresses of the hyper-parameters, and of memory for `N_CONSTANTS` float64 numbers.
    rate : float
        The learning rate.
    step : int
        The number of the step, counted from 1.
    """
    write_constants(code, hyper, rate, step, constants)


@routine
def update(code, constants, l2, theta, gradient, state, distance, n):
    """Take a step with n parameters (whole vectors), with the gradient plus l2 theta.

    Parameters
    ----------
    code : int
        The code of the rule.
    constants
        The address that `step_constants` has written to.
    l2 : float
    theta, gradient, state
        Addresses of the parameters, of their gradient, and of the first state vector's numbers for them.
    distance : int
        The distance from one state vector to the next.
    n : int
    """
    update_vectors(code, constants, l2, theta, gradient, state, distance, n)
