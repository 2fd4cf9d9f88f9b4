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
