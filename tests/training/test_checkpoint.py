from pathlib import Path

import numpy as np
import pytest

from fastbp import SGD, Adam, Checkpoint, OptionError, schedules
from fastbp.training.checkpoint import SAMPLED_NUMBERS, CheckpointFolder, data_digest, plain


@pytest.mark.parametrize(
    ("every", "seconds"),
    [("30s", 30), ("500ms", 0.5), ("5min", 300), ("5m", 300), ("2h", 7200), ("1.5 s", 1.5), (".5h", 1800)],
)
def test_time_between_checkpoints_has_a_unit(every, seconds):
    checkpoint = Checkpoint("folder", every=every)
    assert checkpoint.seconds == pytest.approx(seconds)
    assert checkpoint.epochs is None


@pytest.mark.parametrize("every", [1, 7, np.int64(7)])
def test_number_of_epochs_between_checkpoints_has_none(every):
    checkpoint = Checkpoint("folder", every=every)
    assert (checkpoint.epochs, checkpoint.seconds) == (every, np.inf)


@pytest.mark.parametrize("every", ["30", "s", "-1s", "0s", "1d", "1e3s", "", 0, -1, 1.5, True, None, "٣s"])
def test_bad_intervals_are_named(every):
    with pytest.raises(OptionError, match=r"every is .*, and must be a time such as '30s'"):
        Checkpoint("folder", every=every)


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, "3"])
def test_bad_numbers_of_checkpoints_are_named(keep):
    with pytest.raises(OptionError, match=r"keep is .*, and must be an integer of at least 1"):
        Checkpoint("folder", keep=keep)


@pytest.mark.parametrize("path", ["", None, 3, b"folder"])
def test_bad_paths_are_named(path):
    with pytest.raises(OptionError, match=r"path is .*, and must be the name of a folder"):
        Checkpoint(path)


def test_any_path_is_a_path():
    assert Checkpoint(Path("folder")).path == Path("folder")


def test_equal_settings_are_written_the_same():
    assert plain(SGD(np.float32(0.5))) == plain(SGD(0.5))
    assert plain(SGD(0.5)) != plain(SGD(0.25))
    assert plain(SGD(0.5)) != plain(Adam(0.5))
    assert plain(SGD(schedules.Constant(0.5))) != plain(SGD(0.5))
    assert plain(True) is True
    assert plain(2**60) != plain(2**60 + 1)


def test_digest_sees_shapes_and_every_number_of_small_data():
    X = np.arange(12.0).reshape(4, 3)
    digests = {
        data_digest(X),
        data_digest(X.reshape(3, 4)),
        data_digest(X.T),
        data_digest(X, X),
        data_digest(X, None),
    }
    for i in range(12):
        changed = X.copy()
        changed.flat[i] += 1e-9
        digests.add(data_digest(changed))
    assert len(digests) == 17
    assert data_digest(np.asfortranarray(X)) == data_digest(X)


def test_digest_of_large_data_looks_at_rows_from_the_first_to_the_last():
    X = np.zeros((SAMPLED_NUMBERS // 2, 4))
    digest = data_digest(X)
    for row in (0, -1):
        changed = X.copy()
        changed[row, 2] = 1
        assert data_digest(changed) != digest


def test_folder_says_whether_it_has_checkpoints_and_forgets_them_and_nothing_else(tmp_path):
    folder = CheckpointFolder(tmp_path / "run")
    assert not folder.exists()
    folder.forget()
    for _ in range(2):
        folder.write({}, {}, {"theta": np.zeros(3)})
    assert folder.exists()
    others = [tmp_path / "run" / name for name in ("notes.txt", ".checkpoint-00000001.safetensors.x.tmp")]
    for path in others:
        path.write_text("other")
    folder.forget()
    assert not folder.exists()
    assert list((tmp_path / "run").iterdir()) == others[:1]
