import pytest

from fastbp.training.pace import FASTEST_GROWTH, ChunkLength


def test_next_chunk_takes_as_long_as_is_wanted_at_the_pace_of_the_last():
    chunk = ChunkLength(100, 0.05)
    chunk.record(100, 0.025)
    assert chunk.steps == 200
    assert chunk.step_seconds == pytest.approx(0.00025)
    chunk.record(200, 0.1)
    assert chunk.steps == 100


def test_chunks_grow_by_a_bounded_factor_and_never_shrink_below_a_step():
    chunk = ChunkLength(1, 0.05)
    chunk.record(1, 0.0)
    assert chunk.steps == FASTEST_GROWTH
    chunk.record(16, 1e6)
    assert chunk.steps == 1


@pytest.mark.parametrize(("done", "seconds"), [(0, 1.0), (3, 0.01)], ids=["no step", "rest of an epoch"])
def test_what_tells_little_about_the_pace_changes_nothing(done, seconds):
    chunk = ChunkLength(100, 0.05)
    chunk.record(done, seconds)
    assert (chunk.steps, chunk.step_seconds) == (100, 0.0)


def test_rest_of_an_epoch_that_took_too_long_shortens_the_next_chunk():
    chunk = ChunkLength(100, 0.05)
    chunk.record(50, 0.5)
    assert chunk.steps == 5
