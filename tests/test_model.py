"""`fastbp.fit` and `Model`: data as people have them go in, labels and numbers come out."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.datasets as sets
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import DataError, DataWarning, Model, Network, OptionError
from fastbp.data.defaults import Defaults
from tests.conftest import described

QUICK = {"epochs": 30, "seed": 0}


def bits(array):
    return array.tobytes()


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return function(*arguments, **options)


def fit(*arguments, **options):
    return quietly(fastbp.fit, *arguments, **(QUICK | options))


@pytest.fixture(scope="module")
def iris():
    found = sets.load_iris(as_frame=True)
    frame = found.data.rename(columns=lambda name: name.removesuffix(" (cm)"))
    return frame.assign(species=found.target_names[found.target])


@pytest.fixture(scope="module")
def model(iris):
    return fit(iris, target="species")


# --- the same from everywhere ----------------------------------------------------------------------------


def test_a_path_and_frames_and_arrays_give_the_same_network(iris, model, tmp_path):
    iris.to_csv(tmp_path / "iris.csv", index=False)
    polars = pl.DataFrame({name: iris[name].tolist() for name in iris})
    inputs = iris.drop(columns="species")
    for data, target in (
        (tmp_path / "iris.csv", "species"),
        (str(tmp_path / "iris.csv"), -1),
        (polars, "species"),
        (polars, 4),
        ({name: iris[name] for name in iris}, ["species"]),
        (inputs, iris["species"]),
        (inputs.to_numpy(), iris["species"].to_numpy()),
        (inputs.to_numpy().tolist(), iris["species"].tolist()),
        (inputs.to_numpy(np.float64, copy=True).astype(object), iris[["species"]].to_numpy()),
        (inputs, polars["species"]),
        (np.asfortranarray(inputs), iris["species"].astype("category")),
        (iris.to_numpy(), 4),
    ):
        other = fit(data, target=target)
        assert bits(other.network.theta) == bits(model.network.theta)
        assert (other.predict(inputs if hasattr(data, "columns") else data) == model.predict(inputs)).all()


def test_predictions_are_those_of_the_network_on_standardised_columns(iris, model):
    X = iris.drop(columns="species").to_numpy()
    outputs = model.network.predict(StandardScaler().fit_transform(X), prepared=True)
    np.testing.assert_allclose(quietly(model.predict_proba, X), outputs, rtol=1e-9)
    expected = np.unique(iris["species"])[outputs.argmax(axis=1)]
    predicted = model.predict(iris)
    assert (predicted == expected).all()
    assert model.score(iris) == accuracy_score(iris["species"], predicted) > 0.8
    assert model.labels == ("setosa", "versicolor", "virginica")
    assert model.predict_proba(iris).sum(axis=1) == pytest.approx(np.ones(150))


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "diabetes"])
def test_real_data_are_learned(name):
    data = getattr(sets, f"load_{name}")(as_frame=True)
    model = fit(data.data, target=data.target, validation=0.25, epochs=60)
    predicted = model.predict(data.data)
    if name == "diabetes":
        assert predicted.dtype == np.float64
        assert model.score(data.data, data.target) == pytest.approx(r2_score(data.target, predicted))
        assert model.score(data.data, data.target) > 0.4
    else:
        assert model.score(data.data, data.target) == accuracy_score(data.target, predicted) > 0.95
    assert len(model.result.history["validation_loss"]) == 60


def test_a_file_holds_all_of_a_model_and_the_shell_takes_it(iris, model, tmp_path):
    model.save(tmp_path / "iris.safetensors")
    twin = Model.load(tmp_path / "iris.safetensors")
    assert (twin.predict(iris) == model.predict(iris)).all()
    iris.to_csv(tmp_path / "iris.csv", index=False)
    assert (twin.predict(tmp_path / "iris.csv") == model.predict(iris)).all()
    Network([2, 2]).save(tmp_path / "plain.safetensors")
    with pytest.raises(OptionError, match="has a network without a preprocessing"):
        Model.load(tmp_path / "plain.safetensors")
    with pytest.raises(OptionError, match="needs a network that has a preprocessing"):
        Model(Network([2, 2]))


# --- columns ---------------------------------------------------------------------------------------------


def test_columns_are_found_by_name_in_any_order_and_others_are_remarked_on(iris, model):
    expected = model.predict(iris)
    assert (model.predict(iris[iris.columns[::-1]]) == expected).all()
    with pytest.warns(DataWarning, match=r"the model does not take 'id', 'colour'"):
        assert (model.predict(iris.assign(id=1, colour="red")) == expected).all()
    with pytest.raises(DataError, match=r"lacks 'petal length', 'petal width', which the model takes"):
        model.predict(iris.drop(columns=["petal length", "petal width"]))
    with pytest.raises(DataError, match=r"lacks 'sepal length'"):
        model.predict(np.zeros((3, 3)))


def test_ignored_and_kept_columns_are_not_remarked_on_again(iris):
    more = iris.assign(id=range(150), note=["a", "b"] * 75, w=1.0)
    model = fit(more, target="species", ignore=["id"], keep=["note"], sample_weight="w")
    assert model.preprocessing.ignored == ("id", "w")
    assert model.preprocessing.kept == ("note",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(more)


def test_a_network_with_a_preprocessing_refuses_what_is_not_prepared(iris, model):
    X = iris.drop(columns="species")
    for data in (X, X.to_numpy(), np.zeros((1, 4))):
        with pytest.raises(
            OptionError, match=r"fastbp\.Model\(network\)\.predict\(data\) takes data as they"
        ):
            model.network.predict(data)
    assert model.network.predict(np.zeros((1, 4)), prepared=True).shape == (1, 3)
    plain = fit(X, target=iris["species"], standardize=False).network
    assert plain.predict(X).shape == (150, 3)


def test_unseen_texts_and_missing_values_are_refused_or_taken_as_is_said():
    frame = pd.DataFrame({"colour": ["red", "blue", None] * 4, "size": [1.0, np.nan, 3.0] * 4})
    y = ["big", "small", "big"] * 4
    with pytest.raises(DataError, match="missing"):
        fit(frame, target=y)
    model = fit(frame, target=y, missing="mean")
    new = pd.DataFrame({"colour": ["green", None], "size": [2.0, None]})
    with pytest.raises(DataError, match=r"is 'green' in row 1.*unseen='zeros'"):
        model.predict(new)
    assert model.predict(new, unseen="zeros").shape == (2,)
    assert model.predict_proba(new, unseen="zeros")[1] == pytest.approx(
        model.predict_proba(pd.DataFrame({"colour": [None], "size": [2.0]}))[0]
    )


# --- types -----------------------------------------------------------------------------------------------


def test_types_of_pandas_and_polars_and_objects_of_numbers_mean_the_same():
    numbers, flags, words = [3, 1, 4, 1, 5, 9], [True, False, True, True, False, False], list("aabbca")
    y = ["x", "y", "x", "y", "x", "y"]
    plain = fit({"n": numbers, "f": flags, "w": words}, target=y)
    for frame in (
        pd.DataFrame({"n": numbers, "f": flags, "w": words}),
        pd.DataFrame({"n": numbers, "f": flags, "w": words}).convert_dtypes(),
        pd.DataFrame({"n": numbers, "f": flags, "w": words}).astype(
            {"n": "Int8", "f": "boolean", "w": "category"}
        ),
        pd.DataFrame({"n": numbers, "f": flags, "w": words}).astype({"n": "Float32", "w": "object"}),
        pd.DataFrame({"n": numbers, "f": flags, "w": words}, dtype=object),
        pd.DataFrame({"n": numbers, "f": flags, "w": words}, index=list("zyxwvu")),
        pl.DataFrame({"n": numbers, "f": flags, "w": words}),
        pl.DataFrame(
            {"n": numbers, "f": flags, "w": words}, schema_overrides={"w": pl.Categorical, "n": pl.UInt8}
        ),
    ):
        model = fit(frame, target=pd.Series(y, index=range(6, 0, -1)))
        np.testing.assert_allclose(model.network.theta, plain.network.theta, rtol=1e-12)
        assert (model.predict(frame) == plain.predict(frame)).all()


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        (["02139", "10001"], ("02139", "10001")),
        ([2**53, 2**53 + 1], (2**53, 2**53 + 1)),
        ([True, False], (False, True)),
        (np.array([[1], [0]]), (0, 1)),
        (pd.Series([5, 7], dtype="Int64"), (5, 7)),
        (pd.Series(["ä", "b"], dtype="category"), ("b", "ä")),
        (pl.Series("kind", ["u", "v"]), ("u", "v")),
    ],
    ids=str,
)
def test_labels_come_out_as_they_went_in(y, labels):
    rows = 10
    twice = type(y) in (list, np.ndarray) and np.array(list(y) * rows, object).reshape(-1)
    target = (
        twice
        if twice is not False
        else (y.repeat(rows) if isinstance(y, pd.Series) else pl.concat([y] * rows))
    )
    X = np.arange(20.0)[:, None]
    model = fit(X, target=target.tolist() if isinstance(target, np.ndarray) else target)
    assert model.labels == labels
    assert {type(label) for label in model.predict(X).tolist()} <= {type(labels[0])}


def test_numbers_stay_numbers_and_one_column_may_be_an_array_of_one():
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = X @ [1.0, -2.0]
    models = [fit(X, target=target) for target in (y, y[:, None], y.tolist(), pd.Series(y), pl.Series(y))]
    assert len({bits(model.network.theta) for model in models}) == 1
    assert models[0].predict(X).shape == (40,)
    with pytest.raises(OptionError, match="predict_proba is for classes, and this model predicts numbers"):
        models[0].predict_proba(X)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros(5), r"the data has shape \(5,\), and must have rows and columns; one row is"),
        (np.zeros((2, 2, 2)), r"the data has shape \(2, 2, 2\)"),
        ({"a": [1, 2, 3], "b": [1, 2]}, "columns of different lengths: 'a' 3, 'b' 2"),
        ({"a": [1, "x", 2]}, r"column 'a' mixes whole numbers \(1\) and text \('x'\)"),
        ({"a": [1, object(), 2]}, "column 'a' holds .*, a object, and may hold numbers, booleans, text"),
        ({"a": np.zeros(3, complex)}, "column 'a' has dtype complex128"),
        (pd.DataFrame(np.zeros((3, 2)), columns=["a", "a"]), "two columns of one name"),
        (pl.DataFrame({"a": [1, 2, 3]}).lazy(), r"is a LazyFrame; pass data.collect\(\)"),
        (7, "the data is 7, and must be a path, a frame"),
        ({"a": [1, 2**64, 3]}, "column 'a' holds 18446744073709551616, and integers have 64 bits"),
        ({"a": [-1, 2**63, 3]}, "column 'a' holds 9223372036854775808, and integers have 64 bits"),
        ({"a": 3.5}, "column 'a' is 3.5, and must be an array, a Series or a list"),
        (np.zeros(3, [("a", float)]), "structured array; pass a dictionary"),
        (np.ma.masked_less(np.zeros((3, 2)), 1), "masked values"),
        (pd.DataFrame({"a": pd.period_range("2020", periods=3, freq="D")}), "may hold numbers, booleans"),
        (np.zeros((4, 2)), "target has 3 values, and the data has 4 rows"),
        (np.zeros((0, 2)), "has no rows|has 0 rows"),
    ],
    ids=described,
)
def test_data_that_have_no_one_meaning_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        fit(data, target=[0.5, 1.5, 2.5])


def test_names_that_do_not_exist_are_refused_with_the_nearest(iris):
    with pytest.raises(OptionError, match=r"'spezies'.*did you mean 'species'"):
        fit(iris, target="spezies")
    with pytest.raises(OptionError, match=r"'sepal lenght'.*did you mean 'sepal length'"):
        fit(iris, target="species", ignore=["sepal lenght"])
    with pytest.raises(OptionError, match=r"'hiden' is no option of fit.*did you mean 'hidden'"):
        fit(iris, target="species", hiden=[3])
    with pytest.raises(OptionError, match="target is None, and must name the column"):
        fit(iris)


# --- options ---------------------------------------------------------------------------------------------


def test_options_of_training_reading_and_data_are_taken(iris, tmp_path):
    (tmp_path / "a.csv").write_text("n|y\n1,5|a\n2,5|b\n3,5|a\n4,5|b\n")
    model = fit(tmp_path / "a.csv", target="y", separator="|", decimal=",", l2=0.1, hidden=[4, 3],
                activation="tanh", dtype="float32", steps=7, batch_size=2)  # fmt: skip
    assert model.network.layer_sizes == (1, 4, 3, 2)
    assert model.network.dtype == np.float32
    assert model.result.n_steps == 7
    assert model.network.initializer == "glorot_uniform"
    assert model.predict({"n": [1.5]}).shape == (1,)
    huber = fit(iris, target="petal width", loss="huber", metrics=["mae"])
    assert huber.network.loss_name == "huber"
    assert "mae" in huber.result.history
    with pytest.raises(OptionError, match="loss is for a regression, and these are classes"):
        fit(iris, target="species", loss="huber")


@pytest.mark.parametrize(
    ("options", "drawn"),
    [
        ({"activation": "softsign"}, "glorot_uniform"),
        ({}, "he_uniform"),
        ({"activation": "tanh", "initializer": ("normal", 0.1)}, ("normal", 0.1)),
    ],
)
def test_weights_are_drawn_as_the_activation_needs_or_as_is_said(iris, options, drawn):
    model = fit(iris, target="species", **options, **QUICK)
    assert model.network.initializer == drawn
    with pytest.raises(OptionError, match="initializer is given, and the network to start from has its own"):
        fit(iris, target="species", start_from=model, initializer="zeros")


def test_remarks_are_warned_of_and_kept(iris):
    with pytest.warns(DataWarning, match="column 'c' has the same value in every training row"):
        model = fastbp.fit(iris.assign(c=1), target="species", **QUICK)
    assert len(model.remarks) == 1


def test_validation_may_be_a_fraction_a_frame_or_a_pair(iris):
    half = iris.sample(frac=0.5, random_state=0)
    X, y = half.drop(columns="species"), half["species"]
    a = fit(iris, target="species", validation=half)
    b = fit(iris, target="species", validation=(X, y))
    c = fit(iris.drop(columns="species").to_numpy(), target=iris["species"], validation=(X.to_numpy(), y))
    losses = [model.result.history["validation_loss"] for model in (a, b, c)]
    assert (losses[0] == losses[1]).all()
    assert (losses[0] == losses[2]).all()


# --- several targets -------------------------------------------------------------------------------------


def test_several_numbers_are_learned_together():
    data = sets.load_linnerud(as_frame=True)
    frame, names = pd.concat([data.data, data.target], axis=1), list(data.target.columns)
    options = {"task": "regression", "epochs": 300}  # they are whole numbers
    by_name = fit(frame, target=names, **options)
    by_value = fit(data.data, target=data.target, **options)
    as_array = fit(data.data, target=data.target.to_numpy(), **options)
    assert bits(by_name.network.theta) == bits(by_value.network.theta) == bits(as_array.network.theta)
    assert by_name.network.layer_sizes == (3, 100, 3)
    assert by_name.network.loss_name == "mean_squared_error"
    predicted = by_name.predict(data.data)
    assert predicted.shape == (20, 3)
    assert by_name.score(frame) == pytest.approx(r2_score(data.target, predicted), rel=1e-6)
    assert np.allclose(predicted.mean(axis=0), data.target.mean(), rtol=0.1)
    with pytest.raises(OptionError, match="predict_proba is for classes"):
        by_name.predict_proba(frame)


def test_several_labels_are_learned_together(iris, tmp_path):
    frame = iris.assign(wide=iris["petal width"] > 1, long=np.where(iris["petal length"] > 3, "yes", "no"))
    model = fit(frame, target=["wide", "long"], ignore=["species"], epochs=100)
    assert (model.network.output_activation, model.network.loss_name) == ("sigmoid", "binary_cross_entropy")
    predicted = model.predict(frame)
    assert predicted[:2].tolist() == [[False, "no"]] * 2
    assert model.score(frame) == pytest.approx((predicted == frame[["wide", "long"]].to_numpy()).mean())
    assert model.score(frame) > 0.95
    assert model.predict_proba(frame)[0] == pytest.approx([0, 0], abs=0.2)
    model.save(tmp_path / "two.safetensors")
    assert (Model.load(tmp_path / "two.safetensors").predict(frame) == predicted).all()
    with pytest.raises(
        DataError, match="'species' has 3 classes, and targets that are learned together have two"
    ):
        fit(frame, target=["wide", "species"])
    with pytest.raises(DataError, match=r"is classes, such as .no., and .petal width. is numbers"):
        fit(frame, target=["petal width", "long"])


# --- weights and classes ---------------------------------------------------------------------------------


def test_weights_are_those_of_train(iris):
    w = np.random.default_rng(0).uniform(0.5, 2, 150)
    X, y = iris.drop(columns="species"), iris["species"]
    by_column = fit(iris.assign(w=w), target="species", sample_weight="w")
    by_value = fit(iris, target="species", sample_weight=w)
    plain = fit(iris, target="species")
    assert bits(by_column.network.theta) == bits(by_value.network.theta) != bits(plain.network.theta)
    network = Network.from_specification(plain.network.specification)
    network.theta[:] = fit(iris, target="species", epochs=1, optimizer=fastbp.SGD(0.0)).network.theta
    fastbp.train(
        network, (X - X.mean()) / X.std(ddof=0), np.unique(y, return_inverse=True)[1], epochs=30,
        batch_size=16, optimizer=Defaults.of(150).optimizer(300), seed=0, sample_weight=w,
    )  # fmt: skip
    np.testing.assert_allclose(network.theta, by_column.network.theta, rtol=1e-6, atol=1e-9)


def test_balanced_classes_have_the_same_total_weight(iris):
    few = iris.iloc[[*range(50), *range(50, 60), *range(100, 130)]]
    counts = few["species"].value_counts()
    weights = (len(few) / (3 * counts))[few["species"]].to_numpy()
    balanced = fit(few, target="species", class_weight="balanced")
    assert bits(balanced.network.theta) == bits(
        fit(few, target="species", sample_weight=weights).network.theta
    )
    told = fit(few, target="species", class_weight={"setosa": 2.0})
    doubled = np.where(few["species"] == "setosa", 2.0, 1.0)
    assert bits(told.network.theta) == bits(fit(few, target="species", sample_weight=doubled).network.theta)
    for options, message in (
        ({"class_weight": {"rose": 1}}, "class_weight has 'rose', and the classes of 'species' are"),
        ({"class_weight": "even"}, "class_weight is 'even', and may be 'balanced'"),
        ({"target": "petal width", "class_weight": "balanced"}, "is for one target of classes"),
    ):
        with pytest.raises(OptionError, match=message):
            fit(few, **({"target": "species"} | options))
    with pytest.raises(DataError, match=r"sample_weight\[0\] is -1"):
        fit(few, target="species", sample_weight=-np.ones(len(few)))


def test_a_class_without_training_row_is_remarked_on(iris):
    rare = pd.concat([iris, iris.iloc[:1].assign(species="rose")])
    seen = []
    for seed in range(6):
        model = fit(rare, target="species", validation=0.5, seed=seed, epochs=1)
        seen += [remark for remark in model.remarks if "no training row has the class 'rose'" in remark]
    assert seen


def test_rows_are_held_out_evenly_by_a_column(iris):
    frame = iris.assign(site=["a"] * 15 + ["b"] * 135)
    for seed in range(5):
        dataset = fastbp.data.load(frame, target="petal width", stratify="site", validation=0.2, seed=seed,
                                   ignore=["species"])  # fmt: skip
        site = dataset.preprocessing.input_names.index("site=a")
        assert dataset.X_validation[:, site].sum() == 3
        by_number = fastbp.data.load(frame, target="petal width", stratify="sepal length", validation=0.2,
                                     seed=seed, ignore=["species", "site"])  # fmt: skip
        assert abs(np.median(by_number.X_validation[:, 0]) - np.median(by_number.X[:, 0])) < 0.2
    with pytest.raises(OptionError, match="stratify is for a fraction that validation holds out"):
        fit(frame, target="species", stratify="site")


# --- going on --------------------------------------------------------------------------------------------


def test_a_model_is_gone_on_with(iris, model, tmp_path):
    model.save(tmp_path / "iris.safetensors")
    for start in (model, model.network, tmp_path / "iris.safetensors"):
        more = fit(iris.iloc[::2], start_from=start, epochs=3)
        assert more.preprocessing == model.preprocessing
        assert more.result.n_steps == 15
        assert (more.network.theta != model.network.theta).mean() > 0.5
        assert more.score(iris) > 0.8
    nothing = fit(iris, target="species", start_from=model, epochs=1, optimizer=fastbp.SGD(0.0))
    assert bits(nothing.network.theta) == bits(model.network.theta)
    X, y = iris.drop(columns="species").to_numpy(), iris["species"].to_numpy()
    assert fit(X, target=y, start_from=fit(X, target=y), epochs=1).score(X, y) > 0.8
    for options, message in (
        ({"hidden": [3]}, "hidden is given, and the network to start from has its own"),
        ({"target": "petal width"}, "the model to go on with learns 'species'"),
        ({"ignore": ["sepal width"]}, "ignore is given, and the model to go on with has its own"),
        ({"keep": "sepal width"}, "keep is given"),
        ({"task": "regression"}, "task is given"),
        ({"standardize": False}, "standardize=False is given"),
        ({"missing": "median"}, "the model knows no medians"),
        (
            {"n_starts": 2},
            "n_starts and start_from do not go together: all networks would start from the same",
        ),
        ({"start_from": 3}, "start_from is 3, and must be a Model"),
        ({"start_from": Network([4, 3])}, "has a network without a preprocessing"),
        ({"start_from": None, "target": "species", "hidden": 8}, "hidden is 8, and must be a sequence"),
        (
            {"start_from": None, "target": "species", "hidden": [0]},
            r"hidden\[0\] is 0, and must be an integer",
        ),
    ):
        with pytest.raises(OptionError, match=message):
            fit(iris, **({"start_from": model} | options))


def test_missing_values_and_unseen_texts_are_told_anew_when_a_model_is_gone_on_with():
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["u", "v", "u"], "y": ["p", "q", "p"]})
    start = fit(frame, target="y")
    gaps = pl.DataFrame({"a": [None, 4.0], "b": ["w", None], "y": ["p", "q"]})
    with pytest.raises(DataError, match="missing='mean'"):
        fit(gaps, start_from=start)
    with pytest.raises(DataError, match="unseen='zeros'"):
        fit(gaps, start_from=start, missing="mean")
    more = fit(gaps, start_from=start, missing="mean", unseen="zeros")
    at_the_mean = pl.DataFrame({"a": [2.0], "b": ["u"]})
    assert (
        more.predict_proba(at_the_mean.with_columns(a=pl.lit(None, pl.Float64)))
        == more.predict_proba(at_the_mean)
    ).all()


def test_a_number_that_is_a_name_and_another_position_is_refused():
    frame = pd.DataFrame({5: [1.0, 2.0], 0: ["a", "b"]})
    with pytest.raises(OptionError, match="target is 0, the name of one column of the data and the"):
        fit(frame, target=0)
    assert fit(frame, target="0").labels == ("a", "b")
    assert fit(frame, target=-1).labels == ("a", "b")
    assert fit(pd.DataFrame({0: [1.0, 2.0], 1: ["a", "b"]}), target=1).labels == ("a", "b")


def test_weights_of_another_length_are_refused():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": ["u", "v", "u"]})
    with pytest.raises(OptionError, match=r"must name a column or hold a weight for each of the 3 rows"):
        fit(frame, target="y", sample_weight=[1, 1])
    with pytest.raises(DataError, match=r"as a column it is data.to_frame\(\)"):
        fit(frame["a"], target=frame["y"])


def test_sizes_of_hidden_layers_are_a_sequence(iris):
    with pytest.raises(OptionError, match=r"hidden is 3, and must be a sequence, such as \(32,\)"):
        fit(iris, target="species", hidden=3)


def test_scores_and_validation_need_the_target(iris, model):
    X = iris.drop(columns="species")
    with pytest.raises(DataError, match="the data has no column 'species', which is the target"):
        model.score(X)
    with pytest.raises(DataError, match="the data has no column 'species', which is the target"):
        fit(iris, target="species", validation=X)
    with pytest.raises(DataError, match="target has 3 values, and the data has 150 rows"):
        model.score(X, ["setosa"] * 3)
    with pytest.raises(DataError, match="is 'rose' in row 1, and the model's classes are"):
        model.score(X, ["rose"] * 150)


def test_a_model_says_what_it_is(model):
    assert re.match(r"Model\(predicts 'species', Network\(\[4, 100, 3\]", repr(model))


def test_arrow_types_of_pandas_mean_the_same():
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"n": [3, 1, 4, 1], "f": [True, False, True, True], "w": list("aabb")})
    arrow, y = frame.convert_dtypes(dtype_backend="pyarrow"), ["x", "y", "x", "y"]
    model = fit(arrow, target=pd.Series(y, dtype="string[pyarrow]"))
    np.testing.assert_allclose(model.network.theta, fit(frame, target=y).network.theta, rtol=1e-12)
    arrow.loc[2, ["n", "w"]] = None
    assert fit(arrow, target=y, missing="mean").predict(arrow).shape == (4,)
