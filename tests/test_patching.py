"""scikit-learn's classes are replaced wherever they are imported from afterwards, and put back."""

import pickle
import sys
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.neural_network import _multilayer_perceptron as inner

import fastbp
from fastbp import OptionError, PatchWarning, patch_sklearn, sklearn_is_patched, unpatch_sklearn
from fastbp.sklearn import patched
from tests.processes import run

NAMES = ("MLPClassifier", "MLPRegressor")


@pytest.fixture
def quiet():
    """Other modules of tests have imported scikit-learn's classes; it puts the classes back afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PatchWarning)
        yield
    unpatch_sklearn()


def test_the_classes_are_replaced_where_scikit_learn_has_them_and_put_back(quiet):
    assert not sklearn_is_patched()
    patch_sklearn()
    for module in (neural_network, inner):
        for name in NAMES:
            assert getattr(module, name) is getattr(patched, name)
    assert sklearn_is_patched()
    assert sklearn_is_patched(NAMES)
    unpatch_sklearn()
    for module in (neural_network, inner):
        for name in NAMES:
            assert getattr(module, name) is patched.ORIGINALS[name]
    assert not sklearn_is_patched()


def test_one_class_can_be_replaced(quiet):
    patch_sklearn("MLPRegressor")
    assert sklearn_is_patched()
    assert sklearn_is_patched("MLPRegressor")
    assert not sklearn_is_patched(NAMES)
    assert neural_network.MLPClassifier is patched.ORIGINALS["MLPClassifier"]
    patch_sklearn(["MLPClassifier"])
    assert sklearn_is_patched(NAMES)
    unpatch_sklearn("MLPRegressor")
    assert sklearn_is_patched()
    assert not sklearn_is_patched("MLPRegressor")


def test_a_second_call_does_no_harm(quiet):
    for _ in range(2):
        patch_sklearn()
    assert neural_network.MLPClassifier is patched.MLPClassifier
    for _ in range(2):
        unpatch_sklearn()
    assert neural_network.MLPClassifier is patched.ORIGINALS["MLPClassifier"]


@pytest.mark.parametrize("function", [patch_sklearn, unpatch_sklearn, sklearn_is_patched])
def test_an_unknown_name_is_refused(function):
    with pytest.raises(OptionError, match=r"names is 'MLPClasifier'.* did you mean 'MLPClassifier'"):
        function("MLPClasifier")
    with pytest.raises(OptionError, match="names is 3"):
        function([3])


def test_who_imported_a_class_before_is_named():
    module = types.ModuleType("early_bird")
    module.Perceptron = patched.ORIGINALS["MLPClassifier"]
    sys.modules["early_bird"] = sys.modules["early_bird, by another name"] = module
    try:
        with pytest.warns(PatchWarning) as caught:
            patch_sklearn()
    finally:
        del sys.modules["early_bird"], sys.modules["early_bird, by another name"]
        unpatch_sklearn()
    found = [str(one.message) for one in caught if "early_bird" in str(one.message)]
    assert len(found) == 1
    assert found[0].startswith("early_bird.Perceptron was imported before fastbp.patch_sklearn()")
    assert all(one.filename == __file__ for one in caught)


def test_nothing_is_printed_unless_asked(quiet, capfd):
    patch_sklearn()
    assert capfd.readouterr() == ("", "")
    patch_sklearn(verbose=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"fastbp {fastbp.__version__} replaces of scikit-learn ")
    assert err.endswith(": MLPClassifier, MLPRegressor\n")


def test_strange_modules_are_passed_over(quiet):
    class Strange(types.ModuleType):
        def __getattr__(self, name):
            raise RuntimeError(name)

    sys.modules.update(strange=Strange("strange"), none=None, number=3)
    try:
        patch_sklearn()
    finally:
        for name in ("strange", "none", "number"):
            del sys.modules[name]


def test_many_threads_may_patch_at_once(quiet):
    def turn(number):
        (patch_sklearn if number % 2 else unpatch_sklearn)()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(turn, range(64)))
    patch_sklearn()
    assert sklearn_is_patched(NAMES)


def test_estimators_of_before_can_still_be_pickled(quiet):
    X, y = np.random.default_rng(0).normal(size=(2, 20, 3))
    own = patched.ORIGINALS["MLPRegressor"](hidden_layer_sizes=(3,), solver="lbfgs", random_state=0).fit(X, y)
    before = pickle.dumps(own)
    patch_sklearn()
    for stored in (before, pickle.dumps(own)):
        assert (pickle.loads(stored).predict(X) == own.predict(X)).all()
    while_patched = pickle.dumps(own)
    unpatch_sklearn()
    assert type(pickle.loads(while_patched)) is type(own)
    assert pickle.dumps(own) == before


def test_a_version_that_has_other_parameters_keeps_its_own_class(quiet, caplog, monkeypatch):
    class Later(patched.ORIGINALS["MLPClassifier"]):
        def __init__(self, hidden_layer_sizes=(100,), activation="relu", *, quantum=False):
            pass

    monkeypatch.setitem(patched.PAIRS, "MLPClassifier", patched.Pair(Later, patched.MLPClassifier))
    patch_sklearn()
    assert "MLPClassifier stays scikit-learn's own: its parameter quantum is unknown" in caplog.text
    assert neural_network.MLPClassifier is patched.ORIGINALS["MLPClassifier"]
    assert neural_network.MLPRegressor is patched.MLPRegressor


FOREIGN = """
import sys, types
from sklearn import neural_network
del neural_network.MLPClassifier     # a scikit-learn of the far future
import fastbp
fastbp.patch_sklearn()
fastbp.unpatch_sklearn()
print(fastbp.sklearn_is_patched())
import sklearn.neural_network
"""


def test_a_scikit_learn_without_these_classes_stays_as_it_is():
    out, err = run(FOREIGN)
    assert out == "False\n"
    assert "nothing of scikit-learn is replaced: " in err


def test_fastbp_itself_does_not_import_scikit_learn():
    asked = "fastbp.sklearn_is_patched(); fastbp.unpatch_sklearn()"
    assert run(f"import sys, fastbp; {asked}; print('sklearn' in sys.modules)")[0] == "False\n"
