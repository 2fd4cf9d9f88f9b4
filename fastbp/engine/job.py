"""A job: the integers that a kernel reads, and the arrays whose addresses are among them.

A kernel gets only the address of an array. So only `Job` hands over addresses, and it first compares every
array with `fields.JOB`.
"""

import operator
from collections.abc import Mapping

import numpy as np

from fastbp.engine.layout import Layout, is_read_in_place
from fastbp.engine.packed_vectors import up
from fastbp.kernels import fields
from fastbp.kernels.batches import take_labels, take_orders, take_targets
from fastbp.memory import LINE, address_of, aligned_zeros, room_after

X_KINDS = {"float32": fields.X_FLOAT32, "float64": fields.X_FLOAT64, "uint8": fields.X_UINT8}
"""Types of X that kernels convert row by row. X of another type is converted as a whole before."""

READABLE = tuple(np.dtype(name) for name in X_KINDS)

OF_SAMPLES = ("X", "Y", "labels", "weights")

INT64 = np.dtype(np.int64)

N_RATES, FIRST_STEP = (fields.place_in_job(name) for name in ("n_rates", "first_step"))


class Job:
    """A layout with arrays: the argument of a kernel.

    Parameters
    ----------
    layout : Layout
    arrays : mapping of str to ndarray
        By the names in `fields.JOB`: `theta`, X and Y (or `labels`) as `fastbp.checks` returns them, `order`
        if samples are shuffled, and any others. None means that there is no such array. The job makes buffers
        that are not given.

    Attributes
    ----------
    integers : ndarray of int64
    address : int
        The address of the integers: the argument of kernels.
    arrays : dict of ndarray
        All arrays whose addresses are among the integers. The job keeps them alive.
    empty : ndarray, shape (0, 1)
        An array of the network's dtype, for kernels that get no others.

    Raises
    ------
    TypeError
        If an array is missing, or is not as `fields.JOB` says.
    """

    def __init__(self, layout: Layout, arrays: Mapping[str, np.ndarray | None]):
        self.layout = layout
        integers, common = layout.start
        self.integers = aligned_zeros(integers.size, np.int64)
        self.integers[:] = integers
        self.address: int = address_of(self.integers)
        self.empty = np.empty((0, 1), layout.dtype)
        size, slices, places, offsets = layout.buffers
        self._block = block = aligned_zeros(size, np.uint8)
        self.integers[places] = address_of(block) + offsets
        self.arrays = common | {name: block[place].view(dtype) for name, place, dtype in slices}
        for name, array in arrays.items():
            if array is not None:
                self.replace(name, array)
        for name in (
            "theta",
            *("order",) * bool(layout.options.ordering),
            *("X", "Y") * bool(layout.options.n_samples),
        ):
            if name not in self.arrays and not (name == "Y" and "labels" in self.arrays):
                self._checked(name, None)

    def __getitem__(self, name: str) -> int:
        """Return a field's integer."""
        return int(self.integers[fields.PLACES["job"][name]])

    def replace(self, name: str, array: np.ndarray | None) -> None:
        """Take another array, or None, instead of the present one.

        It may have any shape and strides that the layout allows. It is not checked again if its dtype, shape
        and strides are those of the present one.
        """
        if array is None:
            self.arrays.pop(name, None)
            self._write(name, 0)
            return
        present = self.arrays.get(name)
        if (
            present is not None
            and isinstance(array, np.ndarray)
            and array.dtype == present.dtype
            and array.shape == present.shape
            and array.strides == present.strides
            and (array.flags.carray or (array.flags.aligned and not self.layout.needs[name].is_written))
            and name != "theta"
        ):
            self.arrays[name] = array
        else:
            self.arrays[name] = self._checked(name, array)
            if name == "X":
                self._describe_X(array)
            elif name == "rates":
                self._write("n_rates", array.size)
        address = address_of(array)
        self._write(name, address)
        for place, element in self.layout.pointers.get(name, ()):
            self.integers[place] = address + element * array.itemsize

    def set(self, name: str, value: int) -> None:
        """Set an integer that the layout leaves open.

        Raises
        ------
        TypeError, ValueError
            If the value is not an integer, if the field is an array or fixed by the layout, or if there are
            fewer work areas than threads.
        """
        writers = fields.JOB[name].written_by
        if fields.JOB[name].is_address or not {fields.RUN, fields.KERNEL} & set(writers):
            raise TypeError(f"{name} is not for a run to set: it is written by {writers}")
        value = operator.index(value)
        if name == "n_threads" and not 1 <= value <= self.layout.options.n_threads:
            raise ValueError(
                f"n_threads is {value}, and there are {self.layout.options.n_threads} work areas"
            )
        self._write(name, value)

    def take_orders(self, orders: np.ndarray) -> bool:
        """Point to the orders of the coming epochs, a row for each; return whether they are such ones.

        Parameters
        ----------
        orders : int64[n_epochs, n_samples]
        """
        check_array("order", orders, INT64, True, self.layout.n_ordered)
        if not take_orders(self.address, orders):
            return False
        self.arrays["order"] = orders
        return True

    def set_rates(self, first_step: int, rates: np.ndarray | float) -> None:
        """Set the learning rates of the coming steps. The last one holds for all steps after it."""
        if isinstance(rates, float):
            self.arrays["rates"][0] = rates
            self.integers[N_RATES] = 1
        else:
            self.replace("rates", rates)
        self.integers[FIRST_STEP] = first_step

    def set_chunk(self, rows: float) -> None:
        """Let one call of the kernel take about so many rows of a step, in whole tiles; no bit changes."""
        tile, groups = self["tile_rows"], max(1, self["n_groups"])
        self._write("chunk_rows", up(int(rows / groups) + 1, tile))

    @property
    def n_bytes(self) -> int:
        """Bytes of the buffers that the job made."""
        return self._block.size

    def keep_start(self) -> None:
        """Keep copies of the integers and of the buffers, for `rewind`; samples are not kept."""
        arrays = {name: array for name, array in self.arrays.items() if name not in OF_SAMPLES}
        self._start = self.integers.copy(), self._block.copy(), arrays

    def rewind(self) -> None:
        """Go back to where `keep_start` was called, to take other samples."""
        self.integers[:], self._block[:], arrays = self._start
        self.arrays = arrays.copy()

    # --- how arrays get into the integers ------------------------------------------------------------------

    def _write(self, name: str, value: int) -> None:
        self.integers[fields.PLACES["job"][name]] = value

    def _describe_X(self, X: np.ndarray) -> None:
        own = X.dtype == self.layout.dtype
        row, column = (stride // X.itemsize for stride in X.strides)
        self._write("X_kind", fields.X_OWN if own else X_KINDS[X.dtype.name])
        self._write("X_row", row)
        self._write("X_column", column)
        if self.layout.options.X_in_place:
            self.integers[fields.place_in_job("row", 0)] = row

    def least(self, name: str) -> int:
        """Return the fewest numbers that an array must have."""
        need = self.layout.needs[name]
        return need.n * self["n_samples"] if need.is_per_sample else need.n

    def _checked(self, name: str, array: object) -> np.ndarray:
        layout = self.layout
        if name == "X":
            return self._checked_X(array)
        need = layout.needs[name]
        checked = check_array(name, array, need.dtype, need.is_written, self.least(name))
        if name == "theta" and not layout.packing.is_padded and room_after(checked) < LINE:
            raise TypeError("theta has no room after it: its last row is loaded in whole vectors")
        return checked

    def _checked_X(self, X: object) -> np.ndarray:
        """Return X if kernels can read every row by its strides."""
        layout = self.layout
        if (
            isinstance(X, np.ndarray)
            and (X.dtype == layout.dtype or X.dtype in READABLE)
            and X.flags.aligned
            and X.shape == (self["n_samples"], layout.n_inputs)
            and all(stride % X.itemsize == 0 for stride in X.strides)
            and (not layout.options.X_in_place or is_read_in_place(X, layout.dtype))
        ):
            return X
        raise TypeError(f"X is {_described(X)}, which no kernel can read")


def take(
    address: int,
    dtype: np.dtype,
    most: int,
    X: np.ndarray,
    Y: np.ndarray,
    until: int = 0,
    layered_at: int = 0,
) -> bool:
    """Point the job at an address to other samples, if training can take them as they are; return whether.

    It can if X and Y are C-contiguous, aligned and of the network's dtype, or labels of int64, and their
    numbers are what they may be. The job keeps no reference to them. `most` is how many it has room for.
    If `layered_at` is where the code of the kernel `layered` is, the same call trains to step `until`.
    """
    if not (X.dtype == dtype and X.flags.carray and Y.flags.carray and X.ndim == 2):
        return False
    if Y.ndim == 2 and Y.dtype == dtype:
        return take_targets(address, X, Y, most, until, layered_at)
    return Y.ndim == 1 and Y.dtype == INT64 and take_labels(address, X, Y, most, until, layered_at)


def check_array(name: str, array: object, dtype: np.dtype, is_written: bool, least: int) -> np.ndarray:
    """Return an array if a kernel can use its address, or say what it must be."""
    if (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and ((flags := array.flags).carray or (flags.c_contiguous and flags.aligned and not is_written))
        and array.size >= least
    ):
        return array
    raise TypeError(
        f"{name} is {_described(array)}, and must be {dtype}[{least}] or longer, C-contiguous and aligned"
        f"{', and not read-only' * is_written}"
    )


def _described(array: object) -> str:
    if not isinstance(array, np.ndarray):
        return f"{array!r}"
    aligned = "" if array.flags.aligned else ", not aligned"
    read_only = "" if array.flags.writeable else ", read-only"
    return f"{array.dtype}{list(array.shape)} with strides {list(array.strides)}{aligned}{read_only}"
