"""A population is many networks: each can be taken out, all predict, and a file gives them back."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fastbp
from fastbp import DataError, Network, OptionError, Population, ShapeError
from fastbp.populations.outputs import Moments, blocks


def five(**options):
    return Population([2, 3, 2], 5, **({"seed": 1, "hidden_activation": "tanh"} | options))


X = np.random.default_rng(0).normal(size=(7, 2))
Y = np.random.default_rng(1).uniform(0.1, 0.9, size=(7, 2))


@pytest.mark.parametrize("i", [0, 4, -1, np.int64(2)])
def test_an_element_is_a_network_with_parameters_of_its_own(i):
    population = five(bias="fixed", dtype="float32", loss="mean_squared_error", initializer="he_normal")
    network = population[i]
    assert type(network) is Network
    assert network.specification == population.specification
    assert network.theta.tobytes() == population.theta[i].tobytes()
    network.theta[:] = 9
    assert not (population.theta == 9).any()


def test_a_part_is_a_population_that_keeps_indices_and_scores():
    population = five(first=100)
    population.scores = np.array([0.5, 0.1, 0.4, 0.2, 0.3])
    chosen = [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [4, 2, 0]),
        ([3, 0, 3, -1], [3, 0, 3, 4]),
        (np.array([True, False, False, True, False]), [0, 3]),
        ((1, 2), [1, 2]),
    ]
    for which, numbers in chosen:
        part = population[which]
        assert part.indices.tolist() == [100 + i for i in numbers]
        assert part.theta.tobytes() == population.theta[numbers].tobytes()
        assert part.scores.tolist() == population.scores[numbers].tolist()
        part.theta[:] = 9
        assert not (population.theta == 9).any()
    assert len(list(population)) == 5


@pytest.mark.parametrize(
    ("which", "error", "message"),
    [
        (5, IndexError, "there is no network 5 in a population of 5"),
        (-6, IndexError, "there is no network -6"),
        (True, OptionError, "True"),
        ("a", OptionError, "networks are chosen by 'a'"),
        ([0.5], OptionError, "networks are chosen by"),
        ([[0]], OptionError, "networks are chosen by"),
        ([], OptionError, "no network was chosen"),
        (slice(3, 3), OptionError, "no network was chosen"),
        (np.zeros(5, bool), OptionError, "no network was chosen"),
        (np.ones(4, bool), IndexError, "4 booleans choose networks of a population of 5"),
        ([7], IndexError, "7"),
    ],
)
def test_what_chooses_no_network_is_refused(which, error, message):
    with pytest.raises(error, match=message):
        five()[which]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_predictions_are_those_of_each_network_and_their_moments(dtype):
    population = five(dtype=dtype)
    each = population.predict(X)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    assert each.dtype == dtype
    assert_allclose(each, [network.predict(X) for network in population], rtol=tolerance)
    assert_allclose(population.predict(X, reduce="mean"), each.mean(axis=0, dtype="f8"), rtol=1e-14)
    assert_allclose(population.predict(X, reduce="std"), each.std(axis=0, dtype="f8"), rtol=1e-12)


def test_moments_of_many_blocks_are_those_of_all_networks():
    arrays = np.random.default_rng(0).normal(1000, 1, (101, 3, 2))
    moments = Moments((3, 2))
    for block in blocks(101, 6, 30):
        moments.add(arrays[block])
    assert_allclose(moments.mean, arrays.mean(axis=0), rtol=1e-14)
    assert_allclose(moments.std, arrays.std(axis=0), rtol=1e-10)


def test_losses_are_those_of_each_network_with_its_own_weights():
    population = five()
    assert_allclose(population.loss(X, Y), [network.loss(X, Y) for network in population], rtol=1e-13)
    weights = np.random.default_rng(2).uniform(0, 1, (5, 7))
    weights[2, :3] = 0
    expected = [network.loss(X, Y, sample_weight=w) for network, w in zip(population, weights, strict=True)]
    assert_allclose(population.loss(X, Y, sample_weight=weights), expected, rtol=1e-13)
    expected = [network.loss(X, Y, sample_weight=weights[0]) for network in population]
    assert_allclose(population.loss(X, Y, sample_weight=weights[0]), expected, rtol=1e-13)


def test_losses_of_labels_are_those_of_each_network():
    population = five(output_activation="softmax", loss="categorical_cross_entropy")
    labels = [0, 1, 1, 0, 1, 0, 0]
    expected = [network.loss(X, labels) for network in population]
    assert_allclose(population.loss(X, labels), expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones(6), ShapeError, r"sample_weight has shape \(6,\), and must be \(7,\)"),
        (np.ones((4, 7)), ShapeError, r"sample_weight has shape \(4, 7\), and must be \(7,\), or \(5, 7\)"),
        (np.ones((1, 5, 7)), ShapeError, r"sample_weight has shape \(1, 5, 7\), and must be \(7,\), or"),
        (3.0, ShapeError, r"sample_weight has shape \(\), and must be \(7,\), or \(5, 7\)"),
        (np.zeros((5, 7)), DataError, r"sample_weight\[0\] is 0 for every sample"),
        (
            -np.eye(5, 7),
            DataError,
            r"sample_weight\[0, 0\] is -1.0, and must be a finite float64 of at least 0",
        ),
        (np.full((5, 7), np.nan), DataError, r"sample_weight\[0, 0\] is nan"),
        ([["a"] * 7] * 5, DataError, "sample_weight has dtype <U1, and must hold real numbers"),
        ([[1.0], [1.0, 2.0]], ShapeError, "is not rectangular"),
        (
            np.where(np.eye(5, 7), 1e308, 1e-300),
            DataError,
            r"sample_weight\[0, 1\] is 1e-300, and the largest",
        ),
    ],
)
def test_weights_that_are_none_are_refused(weights, error, message):
    with pytest.raises(error, match=message):
        five().loss(X, Y, sample_weight=weights)


def test_weights_of_one_network_are_normalised_as_fastbp_train_normalises_them():
    from fastbp.checks import check_weights, check_weights_of_networks

    weights = np.random.default_rng(0).uniform(0, 1, (4, 9)) * [[1.0], [1e-300], [1e300], [1.0]]
    weights[3] = 0.3
    rows = check_weights_of_networks("sample_weight", weights, 4, 9)
    assert [row.tobytes() for row in rows] == [check_weights(row, 9).tobytes() for row in weights]


def test_weights_and_biases_are_views():
    population = five()
    assert [W.shape for W in population.weights] == [(5, 2, 3), (5, 3, 2)]
    assert [b.shape for b in population.biases] == [(5, 3), (5, 2)]
    for i, W in enumerate(population.weights):
        W[3], population.biases[i][3] = 1 + i, 10 + i
    network = population[3]
    assert [set(W.ravel()) for W in network.weights] == [{1.0}, {2.0}]
    assert [set(b) for b in network.biases] == [{10.0}, {11.0}]
    assert Population([2, 2], 2, bias="none").biases == []


def test_best_networks_come_in_the_order_of_their_scores():
    population = five()
    with pytest.raises(OptionError, match="this population was not trained"):
        population.best()
    population.scores = np.array([0.5, np.nan, 0.4, 0.2, 0.4])
    assert population.best(4).indices.tolist() == [3, 2, 4, 0]
    assert population.best().indices.tolist() == [3]
    with pytest.raises(OptionError, match="k is 6, and there are 5 networks"):
        population.best(6)
    population.scores = [1.0]
    with pytest.raises(OptionError, match=r"scores has shape \(1,\), and must be \(5,\)"):
        population.best()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_a_copy_has_parameters_of_its_own(duplicate):
    population = five(first=3)
    population.scores = np.arange(5.0)
    twin = duplicate(population)
    assert twin.theta.tobytes() == population.theta.tobytes()
    assert (twin.indices.tolist(), twin.scores.tolist()) == ([3, 4, 5, 6, 7], [0, 1, 2, 3, 4])
    twin.theta[:] = 9
    assert not (population.theta == 9).any()
    assert twin.predict(X).shape == (5, 7, 2)


@pytest.mark.parametrize("options", [{}, {"bias": "none", "dtype": "float32"}, {"seed": None}], ids=str)
@pytest.mark.parametrize("scored", [False, True])
def test_a_file_gives_back_every_bit(tmp_path, options, scored):
    population = five(first=2**40, **options)
    if scored:
        population.scores = np.array([0.1, np.nan, np.inf, 3.0, -1.0])
    population.save(tmp_path / "five.safetensors")
    twin = Population.load(str(tmp_path / "five.safetensors"))
    assert twin.specification == population.specification
    assert twin.theta.tobytes() == population.theta.tobytes()
    assert twin.theta.flags.writeable
    assert twin.indices.tolist() == population.indices.tolist()
    assert (twin.scores is None) == (population.scores is None)
    if scored:
        assert twin.scores.tobytes() == population.scores.tobytes()


def test_other_programs_read_the_tensors(tmp_path):
    from safetensors.numpy import load_file

    population = five()
    population.save(tmp_path / "five.safetensors")
    tensors = load_file(tmp_path / "five.safetensors")
    assert tensors.keys() == {"indices", "layers.0.W", "layers.0.b", "layers.1.W", "layers.1.b"}
    assert (tensors["layers.1.W"] == population.weights[1]).all()


def test_a_file_that_is_damaged_or_of_another_kind_is_refused(tmp_path):
    from fastbp.interchange.tensor_file import write_tensors

    path = tmp_path / "file.safetensors"
    Network([2, 2]).save(path)
    with pytest.raises(
        fastbp.ModelFileError, match="is a 'model' file of fastbp's, and not a 'population' file"
    ):
        Population.load(path)
    population = five()
    document = {"network": population.specification.as_document(), "fastbp": "0"}
    whole = {"indices": population.indices}
    for i, (W, b) in enumerate(zip(population.weights, population.biases, strict=True)):
        whole |= {f"layers.{i}.W": W, f"layers.{i}.b": b}
    damaged = [
        ({}, "its document must have network and fastbp"),
        (whole | {"indices": whole["indices"][:4]}, "its tensors are not those of its indices"),
        (whole | {"indices": -whole["indices"]}, "its indices must be at least 0"),
        (whole | {"indices": whole["indices"].astype(float)}, "it must have indices"),
        (whole | {"scores": np.ones(4)}, "its scores must be a float64 for each network"),
        (whole | {"more": np.ones(4)}, "its tensors are not those of its indices"),
        ({name: tensor[:0] for name, tensor in whole.items()}, "one network at least"),
    ]
    for tensors, message in damaged:
        write_tensors(path, "population", 1, document if tensors else {}, tensors or whole)
        with pytest.raises(fastbp.ModelFileError, match=message):
            Population.load(path)


def test_a_population_is_made_of_networks():
    networks = [Network([2, 2], seed=i) for i in range(3)]
    population = Population.from_networks(iter(networks))
    assert population.theta.tobytes() == b"".join(network.theta.tobytes() for network in networks)
    with pytest.raises(OptionError, match=r"networks\[1\] is Network.*differs from the first"):
        Population.from_networks([networks[0], Network([2, 3])])
    with pytest.raises(OptionError, match=r"networks\[0\] is a int, and must be a fastbp.Network"):
        Population.from_networks([1])
    with pytest.raises(OptionError, match="networks is empty"):
        Population.from_networks([])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([2], 3), {}, "layer_sizes is"),
        (([2, 2], 0), {}, "n_networks is 0, and must be an integer of at least 1"),
        (([2, 2], 1.5), {}, "n_networks is 1.5"),
        (([2, 2], 2**61), {}, "so many fit in no memory"),
        (([2, 2], 3), {"first": -1}, "first is -1"),
        (([2, 2], 3), {"first": 2**62}, r"first is 4611686018427387904, and may be at most 2\^61"),
        (([2, 2], 3), {"hidden_activation": "tanhh"}, "tanhh"),
        (([2, 2], 3), {"dtype": "float16"}, "dtype"),
    ],
)
def test_arguments_that_are_none_are_refused(arguments, options, message):
    with pytest.raises(OptionError, match=message):
        Population(*arguments, **options)


def test_predictions_of_bad_data_are_refused():
    with pytest.raises(ShapeError, match="X has 3 features, and this network takes 2"):
        five().predict(np.ones((1, 3)))
    with pytest.raises(OptionError, match="reduce is 'median', and may be 'each', 'mean', 'std'"):
        five().predict(X, reduce="median")
    with pytest.raises(OptionError, match="threads is 0"):
        five().predict(X, threads=0)
