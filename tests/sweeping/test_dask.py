"""Sweeps on a real cluster of Dask: processes that speak over the loopback interface."""

import os
import signal
from contextlib import contextmanager

import pytest

import fastbp
from tests.sweeping.tasks import OPTIONS, SPACE, data, same

distributed = pytest.importorskip("distributed")


@contextmanager
def cluster(client_type=None):
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as local,
        (client_type or distributed.Client)(local) as client,
    ):
        yield client


class Killing(distributed.Client):
    """Kills a worker when it is given the sixth shard."""

    n_submitted = 0

    def submit(self, function, *arguments, **options):
        self.n_submitted += 1
        if self.n_submitted == 6:
            os.kill(next(iter(self.run(os.getpid).values())), signal.SIGKILL)
        return super().submit(function, *arguments, **options)


def test_workers_of_dask_give_the_same_even_if_one_is_killed():
    X, Y = data()
    here = fastbp.sweep(X, Y, SPACE, 200, **OPTIONS)
    with cluster(Killing) as client:
        assert same(fastbp.sweep(X, Y, SPACE, 200, executor=client, **OPTIONS), here)
        assert client.n_submitted >= 10
        assert same(fastbp.sweep(X, Y, SPACE, 200, executor=client.get_executor(), **OPTIONS), here)
