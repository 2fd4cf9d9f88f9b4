"""A warning shows the user's own line."""

import warnings

import numpy as np
import pytest

import fastbp
from fastbp.sklearn import patched

X, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3

OPTIONS = {
    "epochs": {"max_iter": 2},
    "iterations": {"max_iter": 2, "solver": "lbfgs"},
    "a large batch": {"max_iter": 2, "batch_size": 31},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("Classifier", [fastbp.MLPClassifier, patched.MLPClassifier])
def test_warnings_of_a_fit_name_the_line_that_called_it(Classifier, options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Classifier(hidden_layer_sizes=(5,), random_state=0, **options).fit(X, y)
    assert caught
    assert {warning.filename for warning in caught} == {__file__}
