"""What scikit-learn's multilayer perceptrons do not have."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_sample_weight

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from tests.conftest import described

X, Y = load_iris(return_X_y=True)
XD, YD = load_diabetes(return_X_y=True)
XD, YD = XD[:150] * 10, (YD[:150] - 150) / 50

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def same(one, other):
    return all((a == b).all() for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_,
                                             strict=True))  # fmt: skip


def classifier(**options):
    return MLPClassifier(**({"hidden_layer_sizes": 8, "max_iter": 5, "random_state": 0} | options))


def regressor(**options):
    return MLPRegressor(**({"hidden_layer_sizes": 8, "max_iter": 5, "random_state": 0} | options))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("weight", ["balanced", {0: 3.0, 1: 0.5, 2: 1.0}])
def test_class_weights_are_sample_weights(weight, solver):
    rows = np.r_[0:50, 60:80, 100:150]
    weighted = classifier(class_weight=weight, solver=solver).fit(X[rows], Y[rows])
    samples = compute_sample_weight(weight, Y[rows])
    assert same(weighted, classifier(solver=solver).fit(X[rows], Y[rows], samples))
    both = classifier(class_weight=weight, solver=solver).fit(X[rows], Y[rows], np.arange(1, 121))
    assert same(both, classifier(solver=solver).fit(X[rows], Y[rows], samples * np.arange(1, 121)))
    assert not same(weighted, classifier(solver=solver).fit(X[rows], Y[rows]))


def test_partial_fit_takes_class_weights_but_not_balanced_ones():
    weights = {0: 2.0, 1: 1.0, 2: 5.0}
    part = classifier(class_weight=weights).partial_fit(X, Y, classes=[0, 1, 2])
    other = classifier().partial_fit(X, Y, compute_sample_weight(weights, Y), classes=[0, 1, 2])
    assert same(part, other)
    with pytest.raises(ValueError, match=r"'balanced' is not supported for partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])


def test_dropout_is_drawn_from_the_random_state():
    one, other = (classifier(dropout=0.3).fit(X, Y) for _ in range(2))
    assert same(one, other)
    assert not same(one, classifier().fit(X, Y))
    assert not same(one, classifier(dropout=0.3, random_state=1).fit(X, Y))


def test_each_hidden_layer_may_have_an_activation_of_its_own():
    names = ["gelu", "logistic", "leaky_relu"]
    model = classifier(hidden_layer_sizes=(7, 6, 5), activation=names).fit(X, Y)
    network = fastbp.Network(
        (4, 7, 6, 5, 3),
        hidden_activation=["gelu", "sigmoid", "leaky_relu"],
        output_activation="softmax",
        loss="categorical_cross_entropy",
    )
    for mine, its in zip(network.weights + network.biases, model.coefs_ + model.intercepts_, strict=True):
        mine[:] = its
    assert_allclose(model.predict_proba(X), network.predict(X), rtol=1e-14)
    uniform = classifier(hidden_layer_sizes=(7, 6), activation=["relu", "relu"]).fit(X, Y)
    assert same(uniform, classifier(hidden_layer_sizes=(7, 6)).fit(X, Y))


@pytest.mark.parametrize("name", ["sigmoid", "leaky_relu", "elu", "gelu", "silu", "softplus", "softsign"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_more_activations_learn(name, solver):
    model = classifier(activation=name, max_iter=150, learning_rate_init=0.02, solver=solver).fit(X, Y)
    assert model.score(X, Y) > 0.95


@pytest.mark.parametrize(
    ("activation", "hidden"), [(["relu"], (3, 3)), (["relu", "abs"], (3, 3)), (["relu", 3], (3, 3))], ids=str
)
def test_wrong_activations_of_layers_are_named(activation, hidden):
    with pytest.raises(ValueError, match=r"activation is .* one for each hidden layer"):
        classifier(activation=activation, hidden_layer_sizes=hidden).fit(X, Y)


def test_the_other_losses_reach_what_they_measure():
    """On constant inputs, the best constant is the median, a quantile, or between median and mean."""
    y = np.random.default_rng(0).exponential(size=201)
    ones = np.ones((201, 1))
    options = {"solver": "lbfgs", "hidden_layer_sizes": (), "max_iter": 1000, "tol": 1e-9, "alpha": 0.0}
    assert regressor(loss="huber", **options).fit(ones, y).predict(ones)[0] == pytest.approx(0.903, abs=0.2)
    options = {"hidden_layer_sizes": (), "max_iter": 4000, "learning_rate": "cosine", "tol": 0.0}
    options |= {"n_iter_no_change": 4000, "alpha": 0.0, "learning_rate_init": 0.03}
    found = regressor(loss="absolute_error", **options).fit(ones, y).predict(ones)[0]
    assert found == pytest.approx(np.median(y), abs=0.03)
    found = regressor(loss="quantile", quantile=0.9, **options).fit(ones, y).predict(ones)[0]
    assert (y <= found).mean() == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("solver", ["rmsprop", "adamw", "rprop"])
def test_more_solvers_follow_train(solver):
    optimizer = {
        "rmsprop": fastbp.RMSprop(0.01, alpha=0.999),
        "adamw": fastbp.AdamW(0.01, weight_decay=0.1),
        "rprop": fastbp.RPROP(0.01),
    }[solver]
    options = {"solver": solver, "learning_rate_init": 0.01, "weight_decay": 0.1, "alpha": 0.0}
    options |= {"shuffle": False, "activation": "tanh", "max_iter": 8}
    model = regressor(**options).fit(XD, YD)
    network = fastbp.Network([10, 8, 1], hidden_activation="tanh", output_activation="identity")
    first = regressor(**options | {"max_iter": 1, "learning_rate_init": 1e-300, "weight_decay": 0.0})
    if solver == "rprop":
        first = regressor(max_iter=1, learning_rate_init=1e-300, activation="tanh")
    first.fit(XD, YD)
    for mine, its in zip(network.weights + network.biases, first.coefs_ + first.intercepts_, strict=True):
        mine[:] = its
    batch = None if solver == "rprop" else 150
    fastbp.train(network, XD, YD[:, None], epochs=8, batch_size=batch, shuffle=False, optimizer=optimizer)
    for mine, its in zip(network.weights + network.biases, model.coefs_ + model.intercepts_, strict=True):
        assert_allclose(its, mine, rtol=1e-9, atol=1e-9)


def test_validation_samples_of_the_user_take_the_place_of_a_split():
    rows, others = np.arange(0, 150, 2), np.arange(1, 150, 2)
    model = classifier(max_iter=12).fit(X[rows], Y[rows], X_val=X[others], y_val=Y[others])
    assert len(model.validation_scores_) == 12
    assert model.validation_scores_[-1] == model.score(X[others], Y[others])
    assert same(model, classifier(max_iter=12).fit(X[rows], Y[rows]))
    stopped = classifier(max_iter=500, early_stopping=True, n_iter_no_change=2, learning_rate_init=0.1)
    stopped.fit(X[rows], Y[rows], X_val=X[others], y_val=Y[others])
    assert stopped.n_iter_ < 500
    assert stopped.best_validation_score_ == stopped.score(X[others], Y[others])
    weights = np.where(Y[others] == 1, 5.0, 1.0)
    weighted = classifier().fit(X[rows], Y[rows], X_val=X[others], y_val=Y[others], sample_weight_val=weights)
    assert weighted.validation_scores_[-1] == pytest.approx(weighted.score(X[others], Y[others], weights))


def test_wrong_validation_samples_are_errors():
    with pytest.raises(ValueError, match="give both X_val and y_val"):
        classifier().fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        classifier().fit(X, Y, X_val=X[:, :3], y_val=Y)
    with pytest.raises(ValueError, match="classes not in"):
        classifier().fit(X, Y, X_val=X, y_val=Y + 1)
    with pytest.raises(ValueError, match="y_val has 2 outputs, and y has 1"):
        regressor().fit(XD, YD, X_val=XD, y_val=np.c_[YD, YD])


def test_partial_fit_stops_early_on_validation_samples():
    rows, others = np.arange(0, 150, 2), np.arange(1, 150, 2)
    model = classifier(early_stopping=True, n_iter_no_change=3, learning_rate_init=0.05)
    model.is_stopped_, calls = False, 0
    while not model.is_stopped_ and calls < 200:
        calls += 1
        model.partial_fit(X[rows], Y[rows], classes=[0, 1, 2], X_val=X[others], y_val=Y[others])
    assert 4 < calls < 200
    assert len(model.validation_scores_) == calls
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert model.score(X[others], Y[others]) == model.best_validation_score_
    before = copy.deepcopy(model)
    model.partial_fit(X[rows], Y[rows], X_val=X[others], y_val=Y[others])
    assert same(before, model)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        classifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])


@pytest.mark.parametrize(
    "scoring",
    ["neg_log_loss", "f1_macro", lambda model, X, y: -abs(model.predict_proba(X)).max()],
    ids=described,
)
def test_any_scorer_decides_when_to_stop(scoring):
    import pandas
    from sklearn.metrics import get_scorer

    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = classifier(early_stopping=True, scoring=scoring, max_iter=8, n_iter_no_change=3).fit(frame, Y)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    assert len(model.validation_scores_) == model.n_iter_
    held = classifier(scoring=scoring).fit(frame, Y, X_val=frame, y_val=Y)
    assert held.validation_scores_[-1] == pytest.approx(scorer(held, frame, Y))


def test_callbacks_get_the_state_of_every_epoch_and_may_stop():
    seen = []

    def look(state):
        seen.append((state.epoch, state.step, state.loss, state.learning_rate))
        assert state.network.predict(X).shape == (150, 3)
        if state.epoch == 3:
            state.stop()

    model = classifier(callbacks=[look], batch_size=50).fit(X, Y)
    assert [epoch for epoch, *_ in seen] == [1, 2, 3]
    assert [step for _, step, *_ in seen] == [3, 6, 9]
    assert [loss for _, _, loss, _ in seen] == model.loss_curve_
    assert model.n_iter_ == 3


def test_callbacks_of_scikit_learn_see_every_epoch():
    callback = pytest.importorskip("sklearn.callback")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = classifier(max_iter=4)
    model.set_callbacks(monitor, callback.ProgressBar())
    model.fit(X, Y)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 4
    assert rows[-1]["accuracy"] == model.score(X, Y)


def test_gradients_are_clipped_to_a_norm():
    options = {"solver": "sgd", "momentum": 0.0, "nesterovs_momentum": False, "learning_rate_init": 1.0}
    options |= {"max_iter": 1, "batch_size": 150, "alpha": 0.0}
    start = regressor(**options | {"learning_rate_init": 1e-300}).fit(XD, 100 * YD)
    model = regressor(**options, gradient_clip_norm=0.25).fit(XD, 100 * YD)
    both = zip(model.coefs_ + model.intercepts_, start.coefs_ + start.intercepts_, strict=True)
    assert np.sqrt(sum(((a - b) ** 2).sum() for a, b in both)) == pytest.approx(0.25)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_learning_rates_follow_a_cosine_steps_or_a_schedule(solver):
    rates = {}
    for name in ("cosine", "step", fastbp.schedules.ExponentialDecay(0.01, 0.5, 3.0)):
        seen = []
        options = {"solver": solver, "learning_rate": name, "learning_rate_init": 0.01, "max_iter": 9}
        look = [lambda state, seen=seen: seen.append(state.learning_rate)]
        classifier(**options, callbacks=look).fit(X, Y)
        rates[str(name)[:6]] = np.array(seen)
    assert_allclose(rates["cosine"], 0.005 * (1 + np.cos(np.pi * np.arange(9) / 9)))
    assert_allclose(rates["step"], 0.01 * 0.1 ** np.repeat([0, 1, 2], 3))
    assert_allclose(rates["Expone"], 0.01 * 0.5 ** (np.arange(9) / 3))


def test_training_begins_at_given_parameters():
    first = classifier().fit(X, Y)
    given = {"coefs_init": first.coefs_, "intercepts_init": first.intercepts_}
    model = classifier(**given, solver="sgd", learning_rate_init=1e-300, max_iter=1).fit(X, Y)
    assert same(first, model)
    with pytest.raises(ValueError, match=r"coefs_init or intercepts_init have the shapes"):
        classifier(coefs_init=first.coefs_[:1]).fit(X, Y)


def test_max_seconds_ends_training_with_a_warning():
    with pytest.warns(ConvergenceWarning, match=r"max_seconds=0.05 are over"):
        model = classifier(max_iter=10**9, max_seconds=0.05, tol=0.0, n_iter_no_change=10**9).fit(X, Y)
    assert 0 < model.n_iter_ < 10**9
    assert model.predict(X).shape == (150,)


def test_any_number_of_threads_gives_the_same_bits():
    one, two = (classifier(hidden_layer_sizes=(70, 70), n_threads=n).fit(X, Y) for n in (1, 2))
    assert same(one, two)


def test_the_progress_bar_is_on_standard_error(capsys):
    classifier(progress=True).fit(X, Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "loss" in err


def test_ctrl_c_leaves_a_fitted_estimator():
    import signal

    def press(state):
        if state.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    def score(model, X, y):
        if len(model.loss_curve_) == 3:
            signal.raise_signal(signal.SIGINT)
        return 1.0

    for options in ({"callbacks": [press]}, {"scoring": score}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = classifier(max_iter=10, **options).fit(X, Y, X_val=X, y_val=Y)
        assert [str(warning.message) for warning in caught] == ["Training interrupted by user."]
        assert model.n_iter_ == 3
        assert model.predict(X).shape == (150,)


def test_copies_go_on_alone():
    model = classifier().fit(X, Y)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        assert (twin.predict_proba(X) == model.predict_proba(X)).all()
    twin = pickle.loads(pickle.dumps(model))
    assert same(twin.partial_fit(X, Y), model.partial_fit(X, Y))


def test_parameters_that_are_changed_by_hand_are_those_that_predict():
    model = classifier().fit(X, Y)
    model.coefs_[0][:] = 0
    assert np.ptp(model.predict_proba(X), axis=0).max() == 0
    model.intercepts_ = [np.zeros_like(b) for b in model.intercepts_]
    assert_allclose(model.predict_proba(X), 1 / 3)


def test_ctrl_c_leaves_what_lbfgs_has_reached():
    from fastbp.sklearn.lbfgs import minimise

    class Pressed:
        calls = 0

        def value_and_gradient(self, theta, gradient):
            self.calls += 1
            if self.calls == 6:
                raise KeyboardInterrupt
            gradient[:] = 2 * (theta - 1) * np.arange(1, 4)
            return float(((theta - 1) ** 2) @ np.arange(1, 4)), gradient

        specification = fastbp.Network([2, 1]).specification

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        result = minimise(regressor(tol=0.0), Pressed(), 0.0, np.zeros(3))
    assert 0 < result.nit < 6
    assert result.fun < 1


class Broken(Exception):
    pass


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adam", "early_stopping": True, "max_iter": 9},
        {"solver": "sgd", "learning_rate": "invscaling", "max_iter": 9, "dropout": 0.2},
        {"solver": "rmsprop", "max_iter": 400, "n_iter_no_change": 2, "tol": 0.05},
    ],
    ids=lambda options: options["solver"],
)
def test_a_fit_goes_on_from_a_checkpoint_with_the_same_numbers(options, kind, tmp_path):
    from scipy import sparse

    inputs = X if kind == "dense" else sparse.csr_matrix(X)

    def stop(state):
        if state.epoch == 5:
            raise Broken

    options = options | {"batch_size": 40, "checkpoint_every": 2}
    whole = classifier(**options).fit(inputs, Y)
    path = tmp_path / "fit.safetensors"
    with pytest.raises(Broken):
        classifier(**options, checkpoint=path, callbacks=[stop]).fit(inputs, Y)
    seen = []
    resumed = classifier(**options, checkpoint=str(path), callbacks=[lambda state: seen.append(state.epoch)])
    resumed.fit(inputs, Y)
    assert seen == list(range(6, whole.n_iter_ + 1))
    assert same(resumed, whole)
    assert resumed.loss_curve_ == whole.loss_curve_
    assert resumed.validation_scores_ == whole.validation_scores_
    assert resumed.n_iter_ == whole.n_iter_
    again = classifier(**options, checkpoint=path).fit(inputs, Y)
    assert same(again, whole)
    if whole.n_iter_ == options["max_iter"]:
        longer = {"max_iter": options["max_iter"] + 3}
        assert same(
            classifier(**options | longer, checkpoint=path).fit(inputs, Y),
            classifier(**options | longer).fit(inputs, Y),
        )


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    path = tmp_path / "fit"
    classifier(checkpoint=path).fit(X, Y)
    for other in ({"alpha": 0.5}, {"random_state": 3}, {"solver": "sgd"}):
        with pytest.raises(fastbp.CheckpointError, match="is of another fit"):
            classifier(**other, checkpoint=path).fit(X, Y)
    with pytest.raises(fastbp.CheckpointError, match="samples was"):
        classifier(checkpoint=path).fit(X + 1, Y)
    path.write_bytes(b"abc")
    with pytest.raises(fastbp.ModelFileError):
        classifier(checkpoint=path).fit(X, Y)


def test_it_is_an_estimator_of_scikit_learn():
    import polars
    from sklearn import config_context
    from sklearn.base import clone, is_classifier, is_regressor
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    model = classifier(alpha=0.3, dropout=0.1)
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model)
    assert is_regressor(regressor())
    shown = "MLPClassifier(alpha=0.3, dropout=0.1, hidden_layer_sizes=8, max_iter=5, random_state=0)"
    assert " ".join(repr(model).split()) == shown
    assert "MLPClassifier" in model._repr_html_()
    assert cross_val_score(make_pipeline(StandardScaler(), model), X, Y, cv=3).shape == (3,)
    frame = polars.DataFrame(X, schema=list("abcd"))
    assert model.fit(frame, Y).feature_names_in_.tolist() == list("abcd")
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename({"a": "z"}))
    with config_context(enable_metadata_routing=True):
        routed = make_pipeline(MinMaxScaler(), classifier().set_fit_request(sample_weight=True))
        weights = np.where(Y == 1, 9.0, 1.0)
        routed.fit(X, Y, sample_weight=weights)
        assert same(routed[-1], classifier().fit(MinMaxScaler().fit_transform(X), Y, weights))


def test_a_long_fit_stays_within_a_millionth_of_scikit_learn():
    from sklearn import neural_network

    options = {"max_iter": 300, "tol": 0.0, "n_iter_no_change": 300, "random_state": 0, "activation": "tanh"}
    ours, other = (module.MLPClassifier(20, **options).fit(X, Y) for module in (fastbp, neural_network))
    for mine, true in zip(ours.coefs_, other.coefs_, strict=True):
        assert_allclose(mine, true, rtol=0, atol=1e-6 * abs(true).max())
