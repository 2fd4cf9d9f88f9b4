"""Square roots by multiply-adds, for processors whose divider is slow.

Adam divides and takes a root for every parameter. Both wait for the divider: on an Intel Xeon (Emerald
Rapids) with vectors of 64 bytes, for 20 cycles a vector in float32 and 37 in float64. Here, multiply-adds
find the root while the divider divides.

They begin with an approximation of 1 / sqrt(x) to 14 bits, an instruction of AVX-512. With g for sqrt(x) and
h for 1 / (2 sqrt(x)), Goldschmidt's iteration doubles the bits: e = 1/2 - g h, g = g + g e, h = h + h e. Then
g is exact to about a unit in the last place. The last step g + h (x - g g) rounds it correctly, as P. W.
Markstein shows: Computation of elementary functions on the IBM RISC System/6000 processor, IBM Journal of
Research and Development 34 (1990), 111-119.
"""

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.processor import DIVIDES_SLOWLY
from fastbp.simd import Vec, emit_fma, emit_llvm, emit_splat

WIDEST = 512
"""Bits of the vectors for which this is: those for which the divider is slowest."""

EXPONENTS = {32: (-90, 120), 64: (-900, 1000)}
"""Between these powers of 2, no intermediate result overflows, or loses bits because it is near 0."""


def _emit_places(builder, vec, x):
    """Return which lanes are within `EXPONENTS`, and whether all lanes are, or are 0."""
    bits = vec.element.bitwidth
    integers = ir.VectorType(ir.IntType(bits), vec.lanes)
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)
    low, high = ((exponent + bias) << mantissa for exponent in EXPONENTS[bits])
    zero = ir.Constant(integers, [0] * vec.lanes)
    low, span = (ir.Constant(integers, [number] * vec.lanes) for number in (low, high - low))
    words = builder.bitcast(x, integers)
    within = builder.icmp_unsigned("<", builder.sub(words, low), span)
    good = builder.or_(within, builder.icmp_signed("==", words, zero))
    return within, builder.icmp_signed("==", builder.bitcast(good, ir.IntType(vec.lanes)), _ones(vec.lanes))


def _ones(bits):
    return ir.Constant(ir.IntType(bits), -1)


def _emit_root(builder, vec, x, within):
    """Return the root of the lanes that are within `EXPONENTS`, and 0 for the others."""
    kind, bits, n_masked = x.type, vec.element.bitwidth, max(8, vec.lanes)
    half, none = emit_splat(builder, ir.Constant(kind.element, 0.5), kind), ir.Constant(kind, None)
    name = f"llvm.x86.avx512.rsqrt14.{'ps' if bits == 32 else 'pd'}.512"
    mask = ir.IntType(n_masked)
    rough = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, kind, mask]), name)
    r = builder.call(rough, [x, none, builder.bitcast(within, mask)])
    g, h = builder.fmul(x, r), builder.fmul(half, r)
    for _ in range(1 if bits == 32 else 2):
        e = emit_fma(builder, vec, builder.fneg(g), h, half)
        g, h = emit_fma(builder, vec, g, e, g), emit_fma(builder, vec, h, e, h)
    rest = emit_fma(builder, vec, builder.fneg(g), g, x)
    return emit_fma(builder, vec, rest, h, g)


def _emit_by_products(builder, vec, x):
    """Compute roots by products, or by the divider if a number is neither 0 nor within `EXPONENTS`."""
    within, good = _emit_places(builder, vec, x)
    result = cgutils.alloca_once(builder, x.type)
    with builder.if_else(good, likely=True) as (then, otherwise):
        with then:
            builder.store(_emit_root(builder, vec, x, within), result)
        with otherwise:
            builder.store(emit_llvm(builder, "sqrt", vec, [x]), result)
    return builder.load(result)


@intrinsic
def root_by_products(typing, x):
    """Return the square root of each lane of a vector of 64 bytes, correctly rounded."""

    def generate(context, builder, signature, arguments):
        return _emit_by_products(builder, x, *arguments)

    return x(x), generate


@intrinsic
def quick_root(typing, x):
    """Return the square root of a number or of each lane of a vector, by what is faster here."""
    by_products = DIVIDES_SLOWLY and isinstance(x, Vec) and x.lanes * x.element.bitwidth == WIDEST

    def generate(context, builder, signature, arguments):
        return (
            _emit_by_products(builder, x, *arguments)
            if by_products
            else emit_llvm(builder, "sqrt", x, arguments)
        )

    return x(x), generate
