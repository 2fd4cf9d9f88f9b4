from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastbp
from fastbp import OptionError, spaces
from fastbp.sweeping import shard_run
from fastbp.sweeping.cohorts import Cohort
from fastbp.sweeping.rungs import n_kept
from fastbp.sweeping.transport import processes
from tests.sweeping.tasks import OPTIONS, SPACE, data, same

X, Y = data()


@pytest.fixture(scope="module")
def result() -> fastbp.sweeping.SweepResult:
    return fastbp.sweep(X, Y, SPACE, 50, **OPTIONS)


def alone(result, trial: int, epochs: int) -> float:
    """Return the score of a trial that trains alone, from the start."""
    recipe, folds = result.task.recipe, result.folds.arrays
    structure = int(recipe.points.structures(np.array([trial]))[0])
    cohorts = [Cohort(recipe, structure, np.array([trial]), fold, threads=1) for fold in folds]
    assert all(cohort.train_until(epochs) for cohort in cohorts)
    return float(np.mean([cohort.scores()[0] for cohort in cohorts]))


def halved_by_hand(result) -> tuple[list[float], list[int]]:
    """Return the scores and epochs of successive halving, word for word, with each trial on its own."""
    scores, epochs = [np.nan] * result.n_trials, [0] * result.n_trials
    for shard in result.task.plan:
        alive = list(range(shard.start, shard.stop))
        for rung in shard.rungs:
            for trial in alive:
                scores[trial], epochs[trial] = alone(result, trial, rung), rung
            alive = sorted(alive, key=lambda trial: (scores[trial], trial))
            alive = alive[: n_kept(len(alive), result.task.plan.halving)]
    return scores, epochs


def test_a_sweep_gives_what_each_network_gives_alone_in_halving_by_hand(result):
    scores, epochs = halved_by_hand(result)
    assert result.scores.tolist() == scores
    assert result.epochs.tolist() == epochs
    assert sorted(set(epochs)) == [1, 3, 9]
    assert (result.n_finished, result.stop_reason) == (50, "completed")


def test_folds_and_hyperband_give_what_each_network_gives_alone():
    result = fastbp.sweep(X, Y, SPACE, 30, folds=3, hyperband=True, sampling="halton", **OPTIONS)
    scores, epochs = halved_by_hand(result)
    assert result.scores.tolist() == scores
    assert result.epochs.tolist() == epochs
    assert len({shard.rungs for shard in result.task.plan}) == 3


def test_wide_networks_are_trained_by_the_layered_kernel():
    space = {"hidden": [(96, 96)], "batch_size": [16], "l2": [0, 1e-3], "momentum": [0, 0.9], "dropout": 0.2}
    space |= {"learning_rate": spaces.LogUniform(1e-3, 1e-1), "optimizer": "sgd"}
    result = fastbp.sweep(X[:60], Y[:60], space, 7, folds=2, epochs=3, seed=1, progress=False)
    scores, epochs = halved_by_hand(result)
    assert result.scores.tolist() == scores
    assert sorted(epochs) == [1, 1, 1, 1, 3, 3, 3]
    points, losses = result.task.recipe.points.values(np.arange(7)), []
    for fold in result.folds.arrays:
        population = fastbp.Population(
            [3, 96, 96, 1],
            7,
            hidden_activation="relu",
            output_activation="identity",
            loss="mean_squared_error",
            initializer="he_uniform",
            dtype="float32",
            seed=1,
        )
        options = {"batch_size": 16, "optimizer": fastbp.SGD(momentum=0.9), "seed": 1, "kernel": "layered"}
        fastbp.train_population(population, fold.X, fold.Y, epochs=1, **points, **options)
        losses.append([network.loss(fold.X_validation, fold.Y_validation) for network in population])
    first = np.flatnonzero(result.epochs == 1)
    assert result.scores[first].tolist() == np.mean(losses, axis=0)[first].tolist()


def test_the_order_is_by_epochs_and_then_by_loss(result):
    board = result.leaderboard()
    pairs = list(zip(board["epochs"], board["loss"], strict=True))
    assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    assert board["rank"] == list(range(1, 51))
    assert board["trial"] == result.order.tolist()
    assert result.best["loss"] == pairs[0][1]
    assert (
        result.best["learning_rate"]
        == result.task.recipe.points.configuration(result.best["trial"])["learning_rate"]
    )


def test_the_best_of_each_shard_alone_may_be_reported(result):
    found = fastbp.sweep(X, Y, SPACE, 50, top=3, **OPTIONS)
    expected = [
        trial
        for shard in result.task.plan
        for trial in [one for one in result.order if shard.start <= one < shard.stop][:3]
    ]
    assert found.order.tolist() == [trial for trial in result.order if trial in expected]
    assert found.best == result.best
    assert np.isfinite(found.scores).sum() == 9
    assert (found.n_finished, len(found.leaderboard()["rank"])) == (50, 9)


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(3), processes(2)], ids=["threads", "processes"])
def test_an_executor_gives_the_same_to_the_bit(result, make):
    with make() as executor:
        assert same(fastbp.sweep(X, Y, SPACE, 50, executor=executor, **OPTIONS), result)


def test_the_model_is_the_network_that_was_scored(result):
    model = result.model()
    dataset = result.folds.datasets[0]
    loss = model.network.loss(dataset.X_validation, dataset.Y_validation)
    assert loss == pytest.approx(result.best["loss"], rel=1e-5)
    assert model.network.layer_sizes == (3, *result.best["hidden"], 1)
    assert result.model(2).network.theta.tobytes() != model.network.theta.tobytes()
    assert model.score(X, Y) > 0.3


def test_a_refitted_model_has_seen_all_rows(result):
    model = result.refit()
    assert model.preprocessing.columns[0].mean == pytest.approx(X[:, 0].mean())
    assert model.score(X, Y) > 0.3
    with pytest.raises(OptionError, match="rank is 51, and 50 trials were finished"):
        result.refit(51)


def test_an_ensemble_is_no_worse_than_its_best_member(result):
    ensemble = result.ensemble(8, candidates=10)
    assert ensemble.loss <= result.best["loss"] * (1 + 1e-5)
    predictions = np.average([model.predict(X) for model in ensemble.models], axis=0, weights=ensemble.counts)
    assert ensemble.predict(X) == pytest.approx(predictions)
    assert (ensemble.predict_std(X) >= 0).all()
    refitted = result.ensemble(8, candidates=10, refit=True)
    assert refitted.counts.tolist() == ensemble.counts.tolist()
    assert refitted.models[0].preprocessing.columns[0].mean == pytest.approx(X[:, 0].mean())


def test_classes_are_learned_and_averaged_by_their_probabilities():
    kinds = np.where(X[:, 0] > 3, "warm", "cold")
    result = fastbp.sweep(X, kinds, SPACE, 12, folds=2, **OPTIONS)
    ensemble = result.ensemble(4, candidates=5)
    assert ensemble.labels == ("cold", "warm")
    assert ensemble.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(120), rel=1e-5)
    assert np.mean(ensemble.predict(X) == kinds) > 0.8
    with pytest.raises(OptionError, match="was 2 networks, one a fold"):
        result.model()
    with pytest.raises(OptionError, match="predict_std is for numbers"):
        ensemble.predict_std(X)


def test_trials_that_diverge_come_last_and_touch_no_other(result):
    wild = SPACE | {"optimizer": ["sgd"], "learning_rate": [1e-3, 1e30], "momentum": [0.0, 0.9]}
    found = fastbp.sweep(X, Y, wild, 16, halving=None, **OPTIONS)
    rates = np.array(found.leaderboard()["learning_rate"])
    diverged = np.isinf(found.leaderboard()["loss"])
    assert (diverged == (rates == 1e30)).all()
    assert 0 < diverged.sum() < 16
    assert (np.diff(diverged.astype(int)) >= 0).all()
    assert "inf" in str(found)
    tame = [trial for trial in range(16) if np.isfinite(found.scores[trial])]
    assert [alone(found, trial, 9) for trial in tame] == found.scores[tame].tolist()


def test_a_sweep_whose_networks_all_diverge_says_so():
    found = fastbp.sweep(X, Y, {"optimizer": "sgd", "learning_rate": 1e30, "batch_size": 16}, 5, **OPTIONS)
    assert np.isinf(found.scores).all()
    with pytest.raises(OptionError, match="every trial diverged"):
        found.ensemble()


def test_momentum_is_of_optimizers_that_have_one():
    space = SPACE | {"optimizer": ["sgd", "adam"], "momentum": spaces.Uniform(0.0, 0.9)}
    board = fastbp.sweep(X, Y, space, 40, **OPTIONS).leaderboard()
    assert {(o, m is None) for o, m in zip(board["optimizer"], board["momentum"], strict=True)} == {
        ("sgd", False),
        ("adam", True),
    }


def test_seeds_of_the_space_give_the_same_start_to_other_learning_rates():
    space = {"hidden": 4, "learning_rate": [0.0], "l2": [0.0, 0.1], "seed": [1, 2], "batch_size": 16}
    found = fastbp.sweep(X, Y, space, sampling="grid", **OPTIONS)
    board = found.leaderboard()
    losses = {
        (l2, seed): loss for l2, seed, loss in zip(board["l2"], board["seed"], board["loss"], strict=True)
    }
    assert losses[0.0, 1] == losses[0.1, 1] != losses[0.0, 2] == losses[0.1, 2]


def test_a_sweep_that_runs_out_of_time_returns_what_it_has(tmp_path):
    result = fastbp.sweep(X, Y, SPACE, 400, max_seconds=1e-9, **OPTIONS)
    assert (result.stop_reason, result.n_finished, len(result.order)) == ("max_seconds", 0, 0)
    assert str(result).startswith("0 of 400 networks")
    for call in (result.model, result.refit, result.ensemble, lambda: result.best):
        with pytest.raises(OptionError, match="rank is 1, and 0 trials were finished"):
            call()


def test_a_journal_goes_on_where_a_sweep_was_stopped(tmp_path, result, monkeypatch):
    runs = []

    def counted(task, folds, number, **options):
        runs.append(number)
        return None if len(runs) == 2 else shard_run.run_shard(task, folds, number, **options)

    monkeypatch.setattr("fastbp.sweeping.search.run_shard", counted)
    stopped = fastbp.sweep(X, Y, SPACE, 50, journal=tmp_path / "j", **OPTIONS)
    assert 0 < stopped.n_finished < 50
    whole = fastbp.sweep(X, Y, SPACE, 50, journal=tmp_path / "j", **OPTIONS)
    assert same(whole, result)
    assert runs == [0, 1, 1, 2]
    again = fastbp.sweep(X, Y, SPACE, 50, journal=tmp_path / "j", **OPTIONS)
    assert same(again, result)
    assert len(runs) == 4
    with pytest.raises(fastbp.CheckpointError, match="another sweep"):
        fastbp.sweep(X, -Y, SPACE, 50, journal=tmp_path / "j", **OPTIONS)


WRONG = [
    ({"n_networks": 0}, "n_networks is 0"),
    ({"epochs": 0}, "epochs is 0"),
    ({"halving": 1}, "halving is 1"),
    ({"hyperband": True, "halving": None}, "hyperband needs halving"),
    ({"sampling": "sobol"}, "sampling is 'sobol'"),
    ({"seed": -1}, "seed is -1"),
    ({"dtype": "float16"}, "dtype is 'float16'"),
    ({"loss": "hubber"}, "loss is 'hubber'"),
    ({"shard_size": 0}, "shard_size is 0"),
    ({"top": 0}, "top is 0"),
    ({"max_seconds": 0}, "max_seconds is 0"),
    ({"executor": 3}, "executor is 3, and must be a concurrent.futures.Executor"),
    ({"space": {"activation": "rely"}}, "hidden_activation is 'rely'.*did you mean 'relu'"),
    ({"space": {"optimizer": "adm"}}, "optimizer of the space has 'adm'"),
    ({"space": {"optimizer": "rprop"}}, "RPROP, which is for full batches"),
    ({"space": {"momentum": [0.5]}}, "the space has momentum, and none of its optimizers"),
    ({"seperator": ";"}, "did you mean 'separator'"),
    ({"seed": None}, "seed is None"),
    ({"epoch": 3}, "'epoch' is no option of sweep.*did you mean 'epochs'"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_what_cannot_be_is_refused_before_any_training(options, message, monkeypatch):
    monkeypatch.setattr("fastbp.sweeping.search.run_shard", None)
    arguments = {"space": SPACE, "n_networks": 10} | OPTIONS | options
    with pytest.raises(OptionError, match=message):
        fastbp.sweep(X, Y, **arguments)
