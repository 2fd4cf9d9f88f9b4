"""MLPSearchCV has the results of scikit-learn's GridSearchCV, on populations and one by one."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneGroupOut, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastbp import MLPClassifier, MLPRegressor, MLPSearchCV

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::sklearn.exceptions.SkipTestWarning"
)

IRIS = load_iris(return_X_y=True)
BINARY = IRIS[0], np.array(["no", "yes"])[(IRIS[1] == 1).astype(int)]
DIABETES = load_diabetes(return_X_y=True)
NETWORK = {"hidden_layer_sizes": (4,), "max_iter": 12, "random_state": 0}
CLASSIFIER, REGRESSOR = MLPClassifier(**NETWORK), MLPRegressor(**NETWORK)
ALPHAS = {"alpha": [1.0, 0.1]}


def mean_of_right(estimator, X, y):
    assert len(X) == len(y)
    assert X.shape[1] == estimator.n_features_in_
    return {"right": (estimator.predict(X) == y).mean(), "rows": len(X)}


CASES = {
    "two shapes": (CLASSIFIER, {"hidden_layer_sizes": [(3,), (4, 3)], "alpha": [1, 0.1]}, IRIS, {}),
    "some one by one": (CLASSIFIER, {"solver": ["lbfgs", "adam"]}, BINARY, {"return_train_score": True}),
    "none on populations": (CLASSIFIER, {"solver": ["lbfgs"], "alpha": [1, 0.1]}, BINARY, {"cv": 2}),
    "a list of grids": (CLASSIFIER, [ALPHAS, {"early_stopping": [True]}], BINARY, {"scoring": "roc_auc"}),
    "several scores": (
        CLASSIFIER,
        ALPHAS,
        BINARY,
        {"scoring": ["accuracy", "neg_log_loss"], "refit": "neg_log_loss"},
    ),
    "a function": (CLASSIFIER, ALPHAS, BINARY, {"scoring": mean_of_right, "refit": "right"}),
    "no refit": (CLASSIFIER, ALPHAS, IRIS, {"refit": False, "cv": KFold(4)}),
    "own choice": (CLASSIFIER, ALPHAS, IRIS, {"refit": lambda results: len(results["params"]) - 1}),
    "folds that lack a class": (CLASSIFIER, ALPHAS, IRIS, {"cv": KFold(3), "return_train_score": True}),
    "masks": (CLASSIFIER, ALPHAS, IRIS, {"cv": [(np.arange(150) % 3 > 0, np.arange(150) % 3 == 0)]}),
    "one fold": (REGRESSOR, ALPHAS, DIABETES, {"cv": PredefinedSplit([-1, 0] * 221)}),
    "losses": (REGRESSOR, {"loss": ["squared_error", "poisson"], "shuffle": [False]}, DIABETES, {}),
    "a pipeline": (
        make_pipeline(StandardScaler(), CLASSIFIER),
        {"mlpclassifier__alpha": [1, 0.1]},
        IRIS,
        {"cv": 2},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_those_of_grid_search(name):
    estimator, grid, (X, y), options = CASES[name]
    ours, theirs = (cls(estimator, grid, **options).fit(X, y) for cls in (MLPSearchCV, GridSearchCV))
    assert [*ours.cv_results_] == [*theirs.cv_results_]
    for column, expected in theirs.cv_results_.items():
        if column == "params" or column.startswith("param_"):
            assert list(ours.cv_results_[column]) == list(expected)
        elif "time" not in column:
            assert_allclose(ours.cv_results_[column], expected, rtol=1e-9, err_msg=column)
    names = {name for name in vars(theirs) if name.endswith("_")}
    assert {name for name in vars(ours) if name.endswith("_")} == names
    for attribute in names & {"best_params_", "best_index_", "n_splits_", "multimetric_"}:
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    if "best_estimator_" in names:
        assert type(ours.best_estimator_) is type(estimator)
        assert_array_equal(ours.predict(X), theirs.predict(X))
        if options.get("scoring") is not mean_of_right:
            assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-9)


def test_groups_and_weights_are_taken_as_grid_search_takes_them():
    X, y = DIABETES
    groups, weights = np.arange(len(X)) % 3, np.random.default_rng(0).uniform(0.5, 2, len(X))
    for given in ({"groups": groups}, {"groups": groups, "sample_weight": weights}):
        ours, theirs = (
            cls(REGRESSOR, ALPHAS, cv=LeaveOneGroupOut()).fit(X, y, **given)
            for cls in (MLPSearchCV, GridSearchCV)
        )
        expected = theirs.cv_results_["mean_test_score"]
        assert_allclose(ours.cv_results_["mean_test_score"], expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning", "ignore:One or more of the test")
def test_a_fit_that_fails_has_the_score_of_an_error():
    X, y = DIABETES
    network = MLPRegressor(
        hidden_layer_sizes=4, solver="sgd", activation="identity", max_iter=5, random_state=0
    )
    grid = {"learning_rate_init": [1e300, 1e-3], "batch_size": [100, 0]}
    search = MLPSearchCV(network, grid, cv=2, error_score=-99.0).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert (scores == -99).tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="non-finite"):
        MLPSearchCV(network, {"learning_rate_init": [1e300]}, error_score="raise").fit(X, y)
    with pytest.raises(ValueError, match="Invalid parameter 'alhpa'"):
        MLPSearchCV(network, {"alhpa": [1]}).fit(X, y)


def test_it_is_cloned_and_pickled_and_shown():
    search = MLPSearchCV(CLASSIFIER, ALPHAS, cv=2).fit(*IRIS)
    twin = pickle.loads(pickle.dumps(search))
    assert_array_equal(twin.predict_proba(IRIS[0]), search.predict_proba(IRIS[0]))
    assert "MLPSearchCV" in repr(search)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "MLPSearchCV" in search._repr_html_()


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_find_no_fault_that_grid_search_has_not():
    def faults(cls):
        network = MLPClassifier(hidden_layer_sizes=3, max_iter=30, random_state=0)
        results = check_estimator(cls(network, {"alpha": [0.1]}, cv=2), on_fail=None)
        return {result["check_name"] for result in results if result["status"] == "failed"}

    assert faults(MLPSearchCV) <= faults(GridSearchCV)
