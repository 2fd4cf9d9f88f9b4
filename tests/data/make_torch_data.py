"""Compute with PyTorch what `torch.json` stores, in float64 on one thread.

    python -m venv peers && peers/bin/pip install torch==2.13.0 numpy
    peers/bin/python tests/data/make_torch_data.py

It needs nothing of fastbp, so that the two are compared, not one with itself. Names and hyper-parameters
are fastbp's; `ARGUMENTS` translates them.
"""

import json
import math
from pathlib import Path

import numpy as np

STORED_STEPS = [1, 2, 3, 5, 10, 20, 35, 50]

OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.3}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"learning_rate": 0.3, "weight_decay": 0.05}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    ("RMSprop", {}),
    ("RMSprop", {"learning_rate": 0.02, "alpha": 0.9, "epsilon": 1e-6, "weight_decay": 0.01}),
    ("RMSprop", {"learning_rate": 0.005, "momentum": 0.9}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.01}),
    ("AdamW", {}),
    ("AdamW", {"learning_rate": 0.02, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.1}),
    ("RPROP", {}),
    (
        "RPROP",
        {"learning_rate": 0.1, "eta_minus": 0.4, "eta_plus": 1.3, "smallest_step": 0.01, "largest_step": 0.3},
    ),
]

SCHEDULES = [
    ("StepDecay", {"initial": 0.3, "every": 7, "factor": 0.5}, "StepLR", {"step_size": 7, "gamma": 0.5}),
    ("ExponentialDecay", {"initial": 0.3, "factor": 0.9}, "ExponentialLR", {"gamma": 0.9}),
    (
        "CosineDecay",
        {"initial": 0.3, "steps": 40, "final": 0.02},
        "CosineAnnealingLR",
        {"T_max": 40, "eta_min": 0.02},
    ),
]

LOSSES = {
    "half_squared_error": ("identity", lambda F, z, t: 0.5 * ((z - t) ** 2).sum(1).mean()),
    "mean_squared_error": ("identity", lambda F, z, t: F.mse_loss(z, t)),
    "mean_absolute_error": ("identity", lambda F, z, t: F.l1_loss(z, t)),
    "huber": ("identity", lambda F, z, t: F.huber_loss(z, t)),
    "binary_cross_entropy": ("sigmoid", lambda F, z, t: F.binary_cross_entropy_with_logits(z, t)),
    "categorical_cross_entropy": ("softmax", lambda F, z, t: F.cross_entropy(z, t)),
    "poisson": (
        "softplus",
        lambda F, z, t: F.poisson_nll_loss(F.softplus(z, threshold=100), t, log_input=False, eps=0.0),
    ),
}

ACTIVATIONS = {
    "identity": lambda F, z: z,
    "sigmoid": lambda F, z: F.sigmoid(z),
    "tanh": lambda F, z: F.tanh(z),
    "relu": lambda F, z: F.relu(z),
    "leaky_relu": lambda F, z: F.leaky_relu(z),
    "elu": lambda F, z: F.elu(z),
    "gelu": lambda F, z: F.gelu(z),
    "silu": lambda F, z: F.silu(z),
    "softplus": lambda F, z: F.softplus(z, threshold=100),
    "softmax": lambda F, z: F.softmax(z, -1),
}

PYTORCH_NAME = {"RPROP": "Rprop"}


def arguments(options):
    """Return the keyword arguments that PyTorch takes for fastbp's."""
    names = {"learning_rate": "lr", "epsilon": "eps"}
    pairs = {
        "betas": (("beta1", 0.9), ("beta2", 0.999)),
        "etas": (("eta_minus", 0.5), ("eta_plus", 1.2)),
        "step_sizes": (("smallest_step", 1e-6), ("largest_step", 50.0)),
    }
    options = dict(options)
    result = {}
    for name, parts in pairs.items():
        if any(part in options for part, _ in parts):
            result[name] = tuple(options.pop(part, default) for part, default in parts)
    return result | {names.get(name, name): value for name, value in options.items()}


def problem():
    """Return the task: sizes 3-4-2, tanh and sigmoid, mean squared error, 10 samples in batches of 4."""
    generator = np.random.default_rng(2026)
    sizes = [3, 4, 2]
    return {
        "layer_sizes": sizes,
        "hidden_activation": "tanh",
        "output_activation": "sigmoid",
        "loss": "mean_squared_error",
        "batch_size": 4,
        "X": generator.normal(size=(10, 3)).round(3).tolist(),
        "Y": generator.uniform(size=(10, 2)).round(3).tolist(),
        "weights": [
            generator.normal(size=(3, 4)).round(3).tolist(),
            generator.normal(size=(4, 2)).round(3).tolist(),
        ],
        "biases": [generator.normal(size=4).round(3).tolist(), generator.normal(size=2).round(3).tolist()],
    }


def trajectory(torch, task, name, options):
    """Return theta, laid out as `fastbp.Network.theta`, after each of the stored steps."""
    X, Y = torch.tensor(task["X"]), torch.tensor(task["Y"])
    (W1, W2), (b1, b2) = (
        [torch.tensor(v, requires_grad=True) for v in task[key]] for key in ("weights", "biases")
    )
    parameters = [W1, b1, W2, b2]
    optimizer = getattr(torch.optim, PYTORCH_NAME.get(name, name))(parameters, **arguments(options))
    batch_size = len(X) if name == "RPROP" else task["batch_size"]
    batches = [slice(i, i + batch_size) for i in range(0, len(X), batch_size)]
    thetas = []
    for k in range(max(STORED_STEPS)):
        batch = batches[k % len(batches)]
        output = torch.sigmoid(torch.tanh(X[batch] @ W1 + b1) @ W2 + b2)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(output, Y[batch]).backward()
        optimizer.step()
        if k + 1 in STORED_STEPS:
            thetas.append(torch.cat([p.detach().flatten() for p in parameters]).tolist())
    return {"optimizer": name, "options": options, "batch_size": batch_size, "thetas": thetas}


def rates(torch, name, options, torch_name, torch_options, n_steps=40):
    """Return the learning rates of the first steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=options["initial"])
    scheduler = getattr(torch.optim.lr_scheduler, torch_name)(optimizer, **torch_options)
    result = []
    for _ in range(n_steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return {"schedule": name, "options": options, "rates": result}


def loss_values(torch, name):
    """Return the loss of three samples of four outputs, and its gradient by the pre-activations."""
    generator = np.random.default_rng(7)
    z = torch.tensor(3 * generator.normal(size=(3, 4)), requires_grad=True)
    t = torch.tensor(generator.uniform(size=(3, 4)))
    if name == "categorical_cross_entropy":
        t = t / t.sum(1, keepdim=True)
    activation, loss = LOSSES[name]
    value = loss(torch.nn.functional, z, t)
    value.backward()
    return {
        "loss": name,
        "activation": activation,
        "z": z.tolist(),
        "t": t.tolist(),
        "value": value.item(),
        "gradient": z.grad.tolist(),
    }


def activation_values(torch, name):
    """Return the activations, and the gradient of their sum weighted by 1, 2, 3, ..."""
    points = [-30.0, -8.0, -2.5, -1.0, -0.3, 0.0, 0.2, 1.0, 1.5, 4.0, 9.0, 30.0]
    z = torch.tensor(points, requires_grad=True)
    a = ACTIVATIONS[name](torch.nn.functional, z)
    (a * torch.arange(1.0, 1.0 + len(points))).sum().backward()
    return {"activation": name, "z": points, "a": a.tolist(), "gradient": z.grad.tolist()}


def main():
    """Write the file."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    task = problem()
    data = {
        "made_by": f"tests/data/make_torch_data.py, PyTorch {torch.__version__.partition('+')[0]}",
        "problem": task,
        "stored_steps": STORED_STEPS,
        "trajectories": [trajectory(torch, task, *case) for case in OPTIMIZERS],
        "schedules": [rates(torch, *case) for case in SCHEDULES],
        "losses": [loss_values(torch, name) for name in LOSSES],
        "activations": [activation_values(torch, name) for name in ACTIVATIONS],
    }
    numbers = [n for case in data["trajectories"] for theta in case["thetas"] for n in theta]
    assert all(map(math.isfinite, numbers))
    with Path(__file__).with_name("torch.json").open("w") as file:
        json.dump(data, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
