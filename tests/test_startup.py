import json

from tests.processes import run

LOADED = "import json, sys; {0}; print(json.dumps(sorted(sys.modules)))"


def loaded_by(statement: str) -> set[str]:
    return set(json.loads(run(LOADED.format(statement))[0]))


def test_import_loads_no_optional_package_and_little_of_scipy():
    modules = loaded_by("import fastbp") - loaded_by("import numba")
    packages = {name.partition(".")[0] for name in modules}
    assert not packages & {"matplotlib", "pandas", "polars", "scipy", "sklearn", "tabulate", "torch", "jax"}


def test_training_does_not_wait_for_scipy():
    """SciPy's linear algebra would be 0.15 s of a start of 0.5 s."""
    modules = loaded_by(
        "import fastbp; fastbp.train(fastbp.Network([2, 2, 2]), [[1, 2]], [[0, 1]], steps=1, "
        "optimizer=fastbp.SGD(learning_rate=0.5))"
    )
    assert not {"scipy.linalg", "scipy.special"} & modules


def test_numba_still_has_its_matrix_products_after_training():
    code = """
import numba, numpy as np, fastbp
fastbp.train(fastbp.Network([2, 2, 2]), [[1, 2]], [[0, 1]], steps=1, optimizer=fastbp.SGD(learning_rate=0.5))
product = numba.njit(lambda a, b: np.dot(a, b))
print(product(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]])).tolist())
"""
    assert run(code)[0] == "[[1.0, 2.0], [3.0, 4.0]]\n"


def test_every_public_name_is_there():
    import fastbp

    assert all(hasattr(fastbp, name) for name in fastbp.__all__)
