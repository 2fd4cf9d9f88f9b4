"""scikit-learn's multilayer perceptrons on fastbp's kernels: the same numbers, in less time."""

try:
    import sklearn  # noqa: F401
except ImportError:
    raise ImportError("the estimators need scikit-learn; install it: pip install 'fastbp[sklearn]'") from None

from fastbp.sklearn.classifier import MLPClassifier
from fastbp.sklearn.ensemble import MLPEnsembleClassifier, MLPEnsembleRegressor
from fastbp.sklearn.grid_search import MLPSearchCV
from fastbp.sklearn.regressor import MLPRegressor

__all__ = [
    "MLPClassifier",
    "MLPEnsembleClassifier",
    "MLPEnsembleRegressor",
    "MLPRegressor",
    "MLPSearchCV",
]
