"""The garbage collector is as it was, after a start without it."""

import gc

import pytest

from fastbp.quick_start import without_collections


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_collector_is_left_as_it_was(enabled, error):
    (gc.enable if enabled else gc.disable)()
    try:
        if error is None:
            with without_collections():
                assert not gc.isenabled()
        else:
            with pytest.raises(error), without_collections():
                raise error
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_what_was_made_is_old_and_what_others_froze_stays_frozen():
    def n_old():
        return len(gc.get_objects(generation=2))

    before = n_old()
    with without_collections():
        made = [[] for _ in range(10_000)]
    assert n_old() >= before + len(made)
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_collections():
            pass
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
