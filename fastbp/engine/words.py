"""The words of a record that a kernel reads, and the arrays whose addresses are among them."""

import operator
from typing import Any

import numpy as np

from fastbp.kernels import fields
from fastbp.memory import address_of, aligned_zeros


class Words:
    """A record of `fastbp.kernels.fields` in memory.

    Parameters
    ----------
    record : str
        Its name in `fields.RECORDS`.
    dtype : dtype
        The network's type.
    **values : int, ndarray, or an object that has an address
        As `set` takes them. What is not given is 0.

    Attributes
    ----------
    address : int
        Where the words are: the argument of kernels.

    Raises
    ------
    TypeError
        If a value is not as the table says.

    Examples
    --------
    >>> words = Words("fused", np.dtype("float64"), n_samples=3, rate=np.array([0.1]))
    >>> words["n_samples"]
    3
    """

    def __init__(self, record: str, dtype: np.dtype, **values: Any):
        self._record, self._dtype = record, dtype
        self._words = aligned_zeros(len(fields.RECORDS[record]), np.int64)
        self._kept: dict[str, Any] = {}
        self.address = address_of(self._words)
        self.set(**values)

    def __getitem__(self, name: str) -> int:
        """Return the word of a field."""
        return self._words.item(fields.PLACES[self._record][name])

    def set(self, **values: Any) -> None:
        """Set fields: integers, and addresses of arrays and records, which are kept alive."""
        for name, value in values.items():
            field = fields.RECORDS[self._record][name]
            if field.is_address:
                self._kept[name] = value
                word = value.address if hasattr(value, "address") else address_of(self._checked(name, value))
            else:
                word = operator.index(value)
            self._words[fields.PLACES[self._record][name]] = word

    def point(self, name: str, array: np.ndarray) -> None:
        """Set a field to the address of an array that the caller has checked, and keeps alive."""
        self._words[fields.PLACES[self._record][name]] = address_of(array)

    def _checked(self, name: str, array: Any) -> np.ndarray:
        """Return the array if a kernel can use its address."""
        field = fields.RECORDS[self._record][name]
        kind = fields.element_type(field.type) if field.type in fields.RECORDS else field.type[:-1]
        dtype = self._dtype if kind == "own" else np.dtype(kind)
        if (
            isinstance(array, np.ndarray)
            and array.dtype == dtype
            and array.flags.c_contiguous
            and array.flags.aligned
            and (array.flags.writeable or not field.written_by or fields.DATA in field.written_by)
        ):
            return array
        raise TypeError(f"{name} of {self._record} must be a C-contiguous, aligned array of {dtype}")
