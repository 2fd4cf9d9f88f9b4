# PyTorch in its fast forms.
#
# Eager: parameters as leaf tensors, weights (out, in) as `nn.Linear` keeps them, functional calls. Adam
# is the fused one, which updates all parameters in one call; SGD is a subtraction for each of them.
# Compiled: one function that computes the gradients and updates parameters and moments in place, so the whole
# step is one generated program without Python in between.
#
# Measured on one thread, float32, 4-10-3 in batches of 16, SGD, and 64-128-10 in batches of 32, Adam:
# eager 60 and 138 us a step, compiled 40 and 75. Tried and rejected, for eager:
#   `torch.optim.SGD`, fused or not: 79 and 73 us
#   the default Adam, or a loop over the parameters: 204 and 200 us
#   `zero_grad()` instead of setting gradients to None here: 11 us more
#   only the loss compiled, the optimizer fused: no faster than eager; the whole step is

import os

import numpy as np
import torch
from torch.nn import functional as F

import fastbp
from bench.grid import Workload
from bench.peers import Train, UnavailableError

ACTIVATIONS = {"identity": lambda z: z, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}

if "OMP_NUM_THREADS" in os.environ:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def load(workload: Workload):
    """Return the parameters, a function that resets them, and the batches."""
    if workload.networks > 1:
        raise UnavailableError("one network at a time")
    start = [torch.from_numpy(np.array(a.T if a.ndim == 2 else a, order="C")) for a in flattened(workload)]
    parameters = [p.clone() for p in start]
    for i, p in enumerate(parameters):
        p.requires_grad_(i % 2 == 0 or workload.bias == "trainable")

    def reset():
        with torch.no_grad():
            for p, value in zip(parameters, start, strict=True):
                p.copy_(value)

    batches = [torch.from_numpy(workload.batches(a)) for a in workload.samples()]
    return parameters, reset, list(zip(*batches, strict=True))


def flattened(workload: Workload):
    return [a for layer in workload.layers(workload.starts()[0]) for a in layer]


def loss(workload: Workload, parameters, x, t):
    f, last = ACTIVATIONS[workload.hidden], len(parameters) - 2
    for i in range(0, last, 2):
        x = f(F.linear(x, parameters[i], parameters[i + 1]))
    z = F.linear(x, parameters[last], parameters[last + 1])
    if workload.loss == "categorical_cross_entropy":
        return F.cross_entropy(z, t)
    return (ACTIVATIONS[workload.output](z) - t).square().sum() * (0.5 / len(t))


def result(workload: Workload, parameters) -> np.ndarray:
    arrays = [p.detach().numpy() for p in parameters]
    return workload.flat(zip((W.T for W in arrays[::2]), arrays[1::2], strict=True))


def prepare_eager(workload: Workload) -> Train:
    parameters, reset, batches = load(workload)
    trained = [p for p in parameters if p.requires_grad]
    step_all = adam_steps if isinstance(workload.optimizer, fastbp.Adam) else sgd_steps

    def train(steps: int) -> np.ndarray:
        reset()
        step_all(workload, parameters, trained, batches, steps)
        return result(workload, parameters)

    return train


def sgd_steps(workload: Workload, parameters, trained, batches, steps: int) -> None:
    rate = workload.optimizer.learning_rate
    values = [p.detach() for p in trained]  # the same memory, unseen by autograd
    for k in range(steps):
        gradients = torch.autograd.grad(loss(workload, parameters, *batches[k % len(batches)]), trained)
        for value, gradient in zip(values, gradients, strict=True):
            value.sub_(gradient, alpha=rate)


def adam_steps(workload: Workload, parameters, trained, batches, steps: int) -> None:
    o = workload.optimizer
    betas = (o.beta1, o.beta2)
    optimizer = torch.optim.Adam(trained, lr=o.learning_rate, betas=betas, eps=o.epsilon, fused=True)
    for k in range(steps):
        for p in trained:
            p.grad = None
        loss(workload, parameters, *batches[k % len(batches)]).backward()
        optimizer.step()


def prepare_compiled(workload: Workload) -> Train:
    parameters, reset, batches = load(workload)
    o = workload.optimizer
    adam = isinstance(o, fastbp.Adam)
    moments = [torch.zeros_like(p) for p in parameters for _ in range(2)] if adam else []
    indices = [i for i, p in enumerate(parameters) if p.requires_grad]
    for p in parameters:
        p.requires_grad_(False)
    differentiate = torch.func.grad(lambda trained, fixed, x, t: loss(workload, joined(trained, fixed), x, t))

    def joined(trained, fixed):
        rest = iter(fixed)
        found = dict(zip(indices, trained, strict=True))
        return [found[i] if i in found else next(rest) for i in range(len(parameters))]

    def step(parameters, moments, x, t, rate, root):
        trained = [parameters[i] for i in indices]
        fixed = [p for i, p in enumerate(parameters) if i not in indices]
        gradients = differentiate(trained, fixed, x, t)
        for i, p, g in zip(indices, trained, gradients, strict=True):
            if adam:
                m, v = moments[2 * i], moments[2 * i + 1]
                m.mul_(o.beta1).add_(g, alpha=1 - o.beta1)
                v.mul_(o.beta2).addcmul_(g, g, value=1 - o.beta2)
                p.sub_(rate * (m / (v.sqrt() * root + o.epsilon)))
            else:
                p.sub_(g, alpha=o.learning_rate)

    compiled = torch.compile(step, fullgraph=True, dynamic=False)
    dtype = parameters[0].dtype

    @torch.no_grad()
    def train(steps: int) -> np.ndarray:
        reset()
        for moment in moments:
            moment.zero_()
        rates = roots = [None]
        if adam:  # as tensors: a Python number would become a constant
            k = np.arange(1, steps + 1)
            rates = torch.from_numpy(o.learning_rate / (1 - o.beta1**k)).to(dtype).unbind()
            roots = torch.from_numpy(1 / np.sqrt(1 - o.beta2**k)).to(dtype).unbind()
        for k in range(steps):
            x, t = batches[k % len(batches)]
            compiled(parameters, moments, x, t, rates[k % len(rates)], roots[k % len(roots)])
        return result(workload, parameters)

    try:
        train(1)
    except Exception as error:
        said = f"{error}".strip().partition("\n")[0]
        raise UnavailableError(f"torch.compile failed: {said}") from error
    return train
