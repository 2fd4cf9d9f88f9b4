"""scikit-learn's multilayer perceptrons on fastbp's kernels: the same numbers, in less time."""

from fastbp.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
