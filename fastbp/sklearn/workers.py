"""How many threads a fit may have: one in a worker of joblib, whose other workers have the other cores."""

import multiprocessing
import os

from joblib.parallel import get_active_backend

LIMIT = "OMP_NUM_THREADS"
"""What joblib sets in the processes that it starts: the threads that each worker may have."""


def threads_in_worker() -> int | None:
    """Return how many threads this worker of joblib may have, or None if this is no worker.

    Workers that are processes may have what joblib tells them: by default their part of the cores, else the
    ``inner_max_num_threads`` of `joblib.parallel_config`. A worker that is a thread may have one.

    Examples
    --------
    >>> from joblib import Parallel, delayed
    >>> threads_in_worker() is None
    True
    >>> Parallel(n_jobs=2, backend="threading")(delayed(threads_in_worker)() for _ in range(2))
    [1, 1]
    """
    backend, _ = get_active_backend()
    if not backend.nesting_level:
        return None
    limit = os.environ.get(LIMIT, "") if multiprocessing.parent_process() is not None else ""
    return max(1, int(limit)) if limit.isdigit() else 1
