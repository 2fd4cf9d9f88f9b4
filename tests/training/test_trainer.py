"""A Trainer's steps are those of `fastbp.train` on the same batches, and a bad batch changes nothing."""

import pickle
import signal
import threading
import weakref

import numpy as np
import pytest

import fastbp
from fastbp import RPROP, SGD, Adam, Trainer, schedules
from fastbp.errors import CheckpointError, DataError, DivergenceError, ModelFileError, OptionError, ShapeError

GENERATOR = np.random.default_rng(3)
X, LABELS = GENERATOR.uniform(-1, 1, (88, 4)), GENERATOR.integers(0, 3, 88)
ROWS = 16


def classifier(dtype="float64", sizes=(4, 10, 3)):
    return fastbp.Network(
        sizes,
        hidden_activation="relu",
        output_activation="softmax",
        loss="categorical_cross_entropy",
        dtype=dtype,
        seed=1,
    )


def batches(Y=LABELS, dtype="float64"):
    return [
        (X[i : i + ROWS].astype(dtype), Y[i : i + ROWS])
        for i in range(0, len(X), ROWS)  # the last has 8 rows
    ]


def stepped(network, *, epochs=3, **options):
    with Trainer(network, **options) as trainer:
        losses = [trainer.step(*batch) for _ in range(epochs) for batch in batches(dtype=network.dtype)]
    return network.theta, losses


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": SGD(0.1)},
        {"optimizer": SGD(0.1, momentum=0.9, nesterov=True), "l2": 1e-3},
        {"optimizer": Adam(0.01), "dropout": 0.3, "seed": 5},
        {
            "optimizer": Adam(schedules.ExponentialDecay(0.01, factor=0.9, decay_steps=2)),
            "gradient_clip_norm": 0.1,
        },
        {"optimizer": RPROP()},
        {"optimizer": SGD(0.1), "update": "sequential"},
        {"optimizer": SGD(0.1), "threads": 2},
    ],
    ids=lambda options: ", ".join(sorted(options)) + " " + type(options["optimizer"]).__name__,
)
def test_steps_have_the_bits_of_train(dtype, options):
    trained = classifier(dtype)
    result = fastbp.train(
        trained,
        X.astype(dtype),
        LABELS,
        epochs=3,
        batch_size=ROWS,
        shuffle=False,
        kernel="layered",
        **options,
    )
    theta, losses = stepped(classifier(dtype), **options)
    assert theta.tobytes() == trained.theta.tobytes()
    rows = [len(labels) for _, labels in batches()]
    epoch_means = np.average(np.reshape(losses, (3, -1)), axis=1, weights=rows)
    np.testing.assert_allclose(epoch_means, result.loss_curve, rtol=1e-6 if dtype == "float32" else 1e-14)


def test_targets_and_labels_may_take_turns():
    network = classifier()
    with Trainer(network, optimizer=Adam(0.01)) as trainer:
        for i, (inputs, labels) in enumerate(batches() * 3):
            trainer.step(inputs, labels if i % 2 else np.eye(3)[labels])
    expected, _ = stepped(classifier(), optimizer=Adam(0.01))
    np.testing.assert_allclose(network.theta, expected, rtol=1e-12)


FORMS = {
    "list": lambda a: a.tolist(),
    "float32": lambda a: a.astype(np.float32),
    "Fortran": np.asfortranarray,
    "every second": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_of_any_form_give_the_same_bits(form):
    exact = X[:ROWS].astype(np.float32).astype(np.float64)
    plain, formed = classifier(), classifier()
    with Trainer(plain, optimizer=SGD(0.1)) as a, Trainer(formed, optimizer=SGD(0.1)) as b:
        for _ in range(3):
            assert a.step(exact, LABELS[:ROWS]) == b.step(FORMS[form](exact), LABELS[:ROWS].tolist())
    assert plain.theta.tobytes() == formed.theta.tobytes()


def test_weights_are_those_of_train_if_their_mean_is_one():
    weights = GENERATOR.uniform(0, 2, ROWS)
    weights /= weights.mean()
    trained, network = classifier(), classifier()
    fastbp.train(
        trained, X[:ROWS], LABELS[:ROWS], steps=5, optimizer=SGD(0.1), sample_weight=weights, kernel="layered"
    )
    with Trainer(network, optimizer=SGD(0.1)) as trainer:
        for _ in range(5):
            trainer.step(X[:ROWS], LABELS[:ROWS], weights)
        weighted = trainer.network.theta.copy()
        trainer.step(X[:ROWS], LABELS[:ROWS])
    assert weighted.tobytes() == trained.theta.tobytes()
    assert network.theta.tobytes() != weighted.tobytes()  # the last step had no weights


def test_a_larger_batch_goes_on_where_the_run_was():
    one, two = classifier(), classifier()
    small, large = (X[:8], LABELS[:8]), (X[:40], LABELS[:40])
    with Trainer(one, optimizer=Adam(0.01)) as a, Trainer(two, optimizer=Adam(0.01), batch_size=40) as b:
        for batch in (small, large, small):
            a.step(*batch)
            b.step(*batch)
        assert a.n_steps == b.n_steps == 3
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-13)


def test_several_steps_on_a_batch_are_as_many_single_ones():
    one, two = classifier(), classifier()
    with Trainer(one, optimizer=Adam(0.01)) as a, Trainer(two, optimizer=Adam(0.01)) as b:
        losses = [a.step(X[:ROWS], LABELS[:ROWS]) for _ in range(50)]
        assert b.steps(X[:ROWS], LABELS[:ROWS], 50) == losses[-1]
    assert one.theta.tobytes() == two.theta.tobytes()


BAD = {
    "NaN": (np.full((2, 4), np.nan), [0, 1], DataError, r"X\[0, 0\] is nan"),
    "infinite": (np.full((2, 4), np.inf), [0, 1], DataError, r"X\[0, 0\] is inf"),
    "columns": (np.zeros((2, 5)), [0, 1], ShapeError, "X has 5 features"),
    "no rows": (np.zeros((0, 4)), [], DataError, "X is empty"),
    "rows": (np.zeros((2, 4)), [0], ShapeError, "X has 2 samples and Y has 1"),
    "label": (np.zeros((2, 4)), [0, 3], DataError, r"Y\[1\] is 3"),
    "negative label": (np.zeros((2, 4)), np.array([-1, 0]), DataError, r"Y\[0\] is -1"),
    "no probabilities": (np.zeros((2, 4)), np.full((2, 3), 0.5), DataError, r"sum of row Y\[0\]"),
    "targets": (np.zeros((2, 4)), np.full((2, 2), 0.5), ShapeError, "Y has 2 outputs"),
    "NaN target": (np.zeros((1, 4)), np.array([[0.5, np.nan, 0.5]]), DataError, r"Y\[0, 1\] is nan"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_batch_is_refused_and_no_step_taken(case):
    inputs, targets, kind, message = BAD[case]
    network = classifier()
    with Trainer(network, optimizer=Adam(0.01)) as trainer:
        trainer.step(X[:ROWS], LABELS[:ROWS])
        before = trainer.state_dict()
        with pytest.raises(kind, match=message):
            trainer.step(inputs, targets)
        after = trainer.state_dict()
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
        trainer.step(X[:ROWS], LABELS[:ROWS])
        assert trainer.n_steps == 2


@pytest.mark.parametrize(
    ("loss", "output", "bad"),
    [
        ("binary_cross_entropy", "sigmoid", 1.5),
        ("poisson", "softplus", -0.5),
        ("half_squared_error", "tanh", np.inf),
    ],
)
def test_targets_are_checked_as_train_checks_them(loss, output, bad):
    network = fastbp.Network([2, 3, 1], output_activation=output, loss=loss, seed=0)
    trainer = Trainer(network, optimizer=SGD(0.1))
    trainer.step(np.zeros((3, 2)), np.full((3, 1), 0.5))
    with pytest.raises(DataError, match=r"Y\[2, 0\]"):
        trainer.step(np.zeros((3, 2)), np.array([[0.5], [0.5], [bad]]))


def test_a_trainer_keeps_no_batch():
    trainer = Trainer(classifier(), optimizer=SGD(0.1))
    inputs, labels = X[:ROWS].copy(), LABELS[:ROWS].copy()
    trainer.step(inputs, labels)
    gone = weakref.ref(inputs), weakref.ref(labels)
    del inputs, labels
    assert gone[0]() is gone[1]() is None


def test_divergence_is_an_error_and_the_network_keeps_what_it_has():
    network = fastbp.Network([2, 3, 1], output_activation="identity", seed=0)
    inputs, targets = np.full((4, 2), 100.0), np.full((4, 1), 100.0)
    trainer = Trainer(network, optimizer=SGD(10.0))
    trainer.step(inputs, targets)
    kept = trainer.network.theta.copy()

    def diverge():
        with trainer:
            for _ in range(1000):
                trainer.step(inputs, targets)

    with pytest.raises(DivergenceError, match=r"step \d+ had the loss") as raised:
        diverge()
    assert raised.value.step == trainer.n_steps
    assert network.theta.tobytes() == kept.tobytes()


def test_saved_and_loaded_a_run_goes_on_with_the_same_bits(tmp_path):
    path, options = tmp_path / "trainer.safetensors", {"optimizer": Adam(0.01), "dropout": 0.2, "seed": 4}
    whole, _ = stepped(classifier(), epochs=4, **options)
    first = Trainer(classifier(), **options)
    for batch in batches() * 2:
        first.step(*batch)
    first.save(path)
    network = classifier()
    with Trainer(network, **options) as second:
        second.load(path)
        assert second.n_steps == 2 * len(batches())
        for batch in batches() * 2:
            second.step(*batch)
    assert network.theta.tobytes() == whole.tobytes()


def test_a_file_of_another_trainer_is_refused(tmp_path):
    path = tmp_path / "trainer.safetensors"
    Trainer(classifier(), optimizer=Adam(0.01)).save(path)
    with pytest.raises(CheckpointError, match="optimizer was"):
        Trainer(classifier(), optimizer=Adam(0.02)).load(path)
    with pytest.raises(CheckpointError, match="network was"):
        Trainer(classifier(sizes=(4, 3)), optimizer=Adam(0.01)).load(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ModelFileError):
        Trainer(classifier(), optimizer=Adam(0.01)).load(path)


@pytest.mark.parametrize(
    "change", [{"theta": np.zeros(3)}, {"step": np.array(-1)}, {"more": np.zeros(1)}], ids=str
)
def test_a_state_that_cannot_be_is_refused(change):
    trainer = Trainer(classifier(), optimizer=Adam(0.01))
    trainer.step(X[:ROWS], LABELS[:ROWS])
    before = trainer.state_dict()
    with pytest.raises(OptionError, match="state"):
        trainer.load_state_dict(before | change)
    assert trainer.n_steps == 1


def test_the_learning_rate_follows_the_schedule_until_it_is_assigned():
    schedule = schedules.StepDecay(0.5, every=2)
    trainer = Trainer(classifier(), optimizer=SGD(schedule))
    rates = []
    for _ in range(4):
        rates.append(trainer.learning_rate)
        trainer.step(X[:ROWS], LABELS[:ROWS])
    assert rates == [schedule.rate(i) for i in range(4)]
    before = trainer.state_dict()["theta"]
    trainer.learning_rate = 0
    trainer.step(X[:ROWS], LABELS[:ROWS])
    assert trainer.state_dict()["theta"].tobytes() == before.tobytes()


def test_options_are_checked():
    for options, message in (
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
        ({"optimizer": SGD(schedules.Adaptive(0.1))}, "schedules.Adaptive"),
        ({"optimizer": SGD(0.1), "batch_size": 0}, "batch_size is 0"),
        ({"optimizer": SGD(0.1), "dropout": 1.0}, "dropout"),
    ):
        with pytest.raises(OptionError, match=message):
            Trainer(classifier(), **options)
    with pytest.raises(OptionError, match="network is a int"):
        Trainer(3, optimizer=SGD(0.1))
    with pytest.raises(OptionError, match="n_steps is 0"):
        Trainer(classifier(), optimizer=SGD(0.1)).steps(X, LABELS, 0)


def test_two_threads_at_once_are_refused():
    trainer, answers = Trainer(classifier(), optimizer=SGD(1e-9)), []
    trainer.step(X, LABELS)
    thread = threading.Thread(target=trainer.steps, args=(X, LABELS, 20_000))
    thread.start()
    while thread.is_alive() and not answers:
        try:
            trainer.step(X, LABELS)
        except RuntimeError as error:
            answers.append(str(error))
    thread.join()
    assert "another thread" in answers[0]


def test_ctrl_c_comes_out_between_two_steps():
    network = classifier()
    trainer = Trainer(network, optimizer=Adam(1e-3))
    trainer.step(X, LABELS)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.steps(X, LABELS, 10**12)
    finally:
        signal.signal(signal.SIGALRM, previous)
    n_steps, again = trainer.n_steps, classifier()
    assert 1 < n_steps < 10**12
    with Trainer(again, optimizer=Adam(1e-3)) as other:
        other.steps(X, LABELS, n_steps)
    assert trainer.network.theta.tobytes() == again.theta.tobytes()


def test_a_trainer_is_not_pickled():
    with pytest.raises(TypeError, match="state_dict"):
        pickle.dumps(Trainer(classifier(), optimizer=SGD(0.1)))


@pytest.mark.parametrize("batch_size", [None, ROWS])
def test_it_starts_from_the_parameters_that_the_network_has_when_it_is_made(batch_size):
    network, expected = classifier(), stepped(classifier(), epochs=1, optimizer=SGD(0.1))[0]
    trainer = Trainer(network, optimizer=SGD(0.1), batch_size=batch_size)
    network.theta[:] = 7
    for batch in batches():
        trainer.step(*batch)
    assert trainer.network.theta.tobytes() == expected.tobytes()
