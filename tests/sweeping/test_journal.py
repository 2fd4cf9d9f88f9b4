import numpy as np
import pytest

from fastbp import CheckpointError, CheckpointWarning, OptionError
from fastbp.sweeping.journal import NAME, Journal, Outcome

RUN = {"n_networks": 100, "seed": 3, "space": {"hidden": [[8], [16]]}}


def outcome(shard: int) -> Outcome:
    generator = np.random.default_rng(shard)
    scores = generator.normal(size=5 + shard)
    scores[0] = np.inf
    places = np.arange(5 + shard, dtype=np.int32) * 3
    return Outcome(places, scores, generator.integers(0, 4, 5 + shard).astype(np.int8))


def written(folder, shards) -> bytes:
    journal = Journal(folder, RUN)
    journal.append((shard, outcome(shard)) for shard in shards)
    journal.close()
    return (folder / NAME).read_bytes()


def found(folder) -> list[int]:
    journal = Journal(folder, RUN)
    journal.close()
    for shard, there in journal.outcomes.items():
        assert [values.tobytes() for values in there] == [values.tobytes() for values in outcome(shard)]
    return list(journal.outcomes)


def test_shards_come_back_to_the_bit_in_their_order(tmp_path):
    written(tmp_path, [4, 0, 7])
    assert found(tmp_path) == [4, 0, 7]
    written(tmp_path, [2])
    assert found(tmp_path) == [4, 0, 7, 2]


def test_a_journal_that_was_cut_off_anywhere_goes_on_with_what_is_whole(tmp_path):
    whole = written(tmp_path, [0, 1, 2])
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in [*range(0, len(whole), 7), *ends, *(end - 1 for end in ends)]:
        (tmp_path / NAME).write_bytes(whole[:length])
        n_whole = sum(end <= length for end in ends)
        assert found(tmp_path) == list(range(max(0, n_whole - 1)))
        written(tmp_path, [9])
        assert found(tmp_path) == [*range(max(0, n_whole - 1)), 9]


def test_a_damaged_record_is_left_out_with_a_warning(tmp_path):
    whole = bytearray(written(tmp_path, [0, 1, 2]))
    ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
    whole[ends[1] + 40] ^= 1
    (tmp_path / NAME).write_bytes(whole)
    with pytest.warns(CheckpointWarning, match="has 1 damaged records; their shards run again"):
        assert found(tmp_path) == [0, 2]


def test_a_journal_of_another_sweep_is_refused_and_says_what_differs(tmp_path):
    written(tmp_path, [0])
    with pytest.raises(CheckpointError, match="another sweep: seed was 3, and is 4"):
        Journal(tmp_path, RUN | {"seed": 4})
    (tmp_path / NAME).write_bytes(b"something else\n")
    with pytest.raises(CheckpointError, match="is damaged, or is no journal"):
        Journal(tmp_path, RUN)
    journal = Journal(tmp_path, RUN | {"seed": 4}, resume=False)
    journal.close()
    assert journal.outcomes == {}
    with pytest.raises(CheckpointError, match="seed was 4, and is 3"):
        Journal(tmp_path, RUN)


def test_only_one_sweep_at_a_time_has_a_journal(tmp_path):
    pytest.importorskip("fcntl")
    journal = Journal(tmp_path, RUN)
    with pytest.raises(OptionError, match="another sweep is at work on it"):
        Journal(tmp_path, RUN)
    journal.close()
    Journal(tmp_path, RUN).close()


def test_a_write_that_fails_leaves_whole_records(tmp_path, monkeypatch):
    journal = Journal(tmp_path, RUN)
    journal.append([(0, outcome(0))])

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", no_space)
        with pytest.raises(OSError, match="No space left"):
            journal.append([(1, outcome(1)), (3, outcome(3))])
    journal.append([(2, outcome(2))])
    journal.close()
    assert found(tmp_path) == [0, 2]


@pytest.mark.parametrize("folder", [None, 3, ""])
def test_a_journal_is_a_folder(folder, tmp_path):
    with pytest.raises(OptionError, match="must be the name of a folder"):
        Journal(folder, RUN)
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="this folder cannot be made: File exists"):
        Journal(tmp_path / "file", RUN)
