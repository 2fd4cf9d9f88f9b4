"""exp, log, the activation functions and their slopes, on SIMD vectors of float32 or float64.

Legend: z is a pre-activation, a its activation. ``n``, ``r`` and ``s`` make up a reduced argument
x = n ln 2 + r + s. A name with ``rest`` is the exact value minus the rounded one.

All functions use one reduction and one polynomial for e^x, and the processor's division. The remainder of a
division corrects its quotient, so the only errors are those of e^x and of the last rounding. docs/accuracy.md
has the measured errors.

No code branches on a number. Limits and selections let NaN pass, so that special values are right.
Results below the smallest normal number are rounded once, and not flushed to zero.

Longer than 500 lines, because all functions share that reduction and its rests; 80 lines are coefficients.
"""

import math

import numpy as np

from fastbp._jit import helper, kernel, routine
from fastbp.activations import (
    ELU,
    EXPONENTIAL,
    GELU,
    LEAKY_RELU,
    LEAKY_RELU_SLOPE,
    RELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    SOFTSIGN,
    TANH,
)
from fastbp.kernels.tanh_table import has_table, tanh_by_table
from fastbp.simd import (
    address,
    exponent,
    exponent_from_1,
    fma,
    fma_exact,
    magnitude,
    mantissa,
    polynomial,
    same,
    scaled,
    splat,
    store,
    where_equal,
    where_less,
    wide,
    wide_load,
    wide_loads,
    with_sign,
)

LOG_CODE, ERF_CODE, LOG1P_EXP_MINUS_ABS_CODE = range(SOFTSIGN + 1, SOFTSIGN + 4)
"""The codes of the other functions that `elementwise_apply` takes."""

# --- constants and polynomials: coefficients by mpmath.chebyfit, as the test of their accuracy shows ------


def constant(float32, float64):
    """Return an intrinsic that gives a constant of the type of its argument."""
    return polynomial((float32,), (float64,))


def without_first(coefficients):
    """Return all coefficients but the first."""
    return {dtype: terms[1:] for dtype, terms in coefficients.items()}


ROUNDER = constant(1.5 * 2**23, 1.5 * 2**52)
LN2_HIGH = constant(0.693147182464599609375, math.log(2))
LN2_LOW = constant(-1.904654299957768e-09, 2.319046813846299e-17)
SMALLEST_NORMAL = constant(2.0**-126, 2.0**-1022)
DIGITS = constant(23.0, 52.0)

# Beyond these, results are 0, infinite, or 1.
LOWEST_EXP = constant(-104.0, -746.0)
HIGHEST_EXP = constant(89.0, 710.0)
LOWEST_SIGMOID = constant(-109.0, -753.0)  # for silu: z s(z) is 0 later than s(z)
LOWEST_TANH = constant(-10.0, -20.0)
HIGHEST_GELU = constant(14.6, 38.7)
HIGHEST_SOFTSIGN = constant(2.0**60, 2.0**60)

# (e^x - 1 - x) / x^2 for |x| <= ln 2 / 2
EXP = {
    "float32": (
        0.5, 0.16666667, 0.041666463, 0.0083333105, 0.0013933729, 0.00019891078,
    ),
    "float64": (
        0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326084, 0.0013888888888883711,
        0.00019841269874997539, 2.4801587325674076e-05, 2.7557255176003713e-06,
        2.7557273483005247e-07, 2.5105310235689788e-08, 2.0914753544959484e-09,
    ),
}  # fmt: skip
exp_curve = polynomial(**EXP)

# (2 artanh(w / 2) - w) / w^3 = 1/12 + w^2 / 80 + ..., in w^2 up to 4/9
LOG = {
    "float32": (
        0.083333336, 0.012499908, 0.002233778, 0.00042395655, 0.00011340005,
    ),
    "float64": (
        0.08333333333333333, 0.012500000000004558, 0.0022321428568053718, 0.00043402778744976297,
        8.877826873111747e-05, 1.8781213458201444e-05, 4.063154360856609e-06, 9.156091926262446e-07,
        1.6786076519288395e-07, 7.707617574664846e-08,
    ),
}  # fmt: skip
log_curve = polynomial(**LOG)

# erf(x) / x - 1, in x^2 up to 1/4
ERF = {
    "float32": (
        0.12837917, -0.37612608, 0.112828314, -0.026757732, 0.0047190827,
    ),
    "float64": (
        0.12837916709551256, -0.37612638903183476, 0.11283791670925353, -0.026866170632887928,
        0.00522397737302147, -0.0008548297753674966, 0.00012053335124353741, -1.4845849259707869e-05,
        1.4725865480556744e-06,
    ),
}  # fmt: skip
erf_curve = polynomial(**ERF)

# (x + 5/4) e^(x^2 / 2) Phi(-x) for 0 <= x <= 14.7 or 38.8, in t = (x - c) / (x + c) with c = 4 or 5: Shepherd
# & Laframboise (1981), "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf",
# https://doi.org/10.1090/S0025-5718-1981-0595058-X. With 5/4, near sqrt(pi / 2), its slope vanishes at x = 0,
# so that the rounding of t does no harm there.
MILLS = {
    "float32": (
        0.49565586, -0.1393029, 0.045094445, 0.010673252, -0.024481501, 0.015815778, -0.0048762094,
        -0.0001380822, 0.000647643, -8.0095444e-05, -7.229201e-05,
    ),
    "float64": (
        0.48074565609378933, -0.1274166706500118, 0.06004757139746402, -0.010218616930826601,
        -0.014437204895250844, 0.01868348812253213, -0.012922572764874202, 0.005927289567122015,
        -0.0016211846640428276, 4.1360901823164604e-05, 0.0001672273292243826, -5.336771159509159e-05,
        -8.235353518833027e-06, 8.743690507737522e-06, -2.3775019860132176e-07,
        -1.249188009934575e-06, 1.4402320952831558e-07, 1.8920131421268722e-07,
        -2.472774951498975e-08, -3.069385044709282e-08, 8.10312214589966e-10, 3.907221081763664e-09,
        7.178617813213127e-10,
    ),
}  # fmt: skip
SHIFT = 1.25
CENTRE = constant(4.0, 5.0)
mills_start = constant(MILLS["float32"][0], MILLS["float64"][0])
mills_curve = polynomial(**without_first(MILLS))


# --- what the functions are made of ----------------------------------------------------------------------


@helper
def minus(x):
    """Return -x."""
    return splat(-0.0, x) - x


@helper
def at_most(x, limit):
    """Return x, or `limit` where x is larger. NaN stays NaN."""
    return where_less(limit, x, limit, x)


@helper
def at_least(x, limit):
    """Return x, or `limit` where x is smaller. NaN stays NaN."""
    return where_less(x, limit, limit, x)


@helper
def reduced(x):
    """Return n, r and s with x = n ln 2 + r + s: n whole, |r + s| <= ln 2 / 2, and s tiny."""
    shift = ROUNDER(x)
    n = fma(x, splat(1 / math.log(2), x), shift) - shift
    return n, fma_exact(n, minus(LN2_HIGH(x)), x), n * minus(LN2_LOW(x))  # r is exact if there is FMA


@helper
def bend(r, s):
    """Return e^(r + s) - 1 - r for |r + s| <= ln 2 / 2."""
    x = r + s
    return fma(x * x, exp_curve(x), s)


@helper
def power(r, s):
    """Return e^(r + s) for |r + s| <= ln 2 / 2, and its rest."""
    one = splat(1.0, r)
    above = r + bend(r, s)
    p = one + above
    return p, above - (p - one)


@helper
def quotient(a, a_rest, d, d_rest):
    """Return q, rest and y: (a + a_rest) / (d + d_rest) = q + rest y.

    d is from 5/6 to 2. The line y approximates 1/d to within 15 %, and to within 6 % for d >= 1.
    """
    q = a / d
    y = fma(splat(-8 / 17, d), d, splat(24 / 17, d))
    return q, fma(minus(q), d_rest, fma_exact(minus(q), d, a) + a_rest), y


@helper
def exp_minus_abs(z):
    """Return e^-|z|, and its rest."""
    n, r, s = reduced(at_least(minus(magnitude(z)), LOWEST_SIGMOID(z)))
    p, rest = power(r, s)
    return scaled(p, n), scaled(rest, n)


@helper
def log1p(u, u_rest):
    """Return log(1 + u + its rest) for -1/3 <= u <= 1, as 2 artanh(u / (2 + u))."""
    one, half = splat(1.0, u), splat(0.5, u)
    d = fma(half, u, one)
    d_rest = fma(half, u_rest, fma(half, u, one - d))
    w, rest, y = quotient(u, u_rest, d, d_rest)
    w2 = w * w
    return w + fma(w * w2, log_curve(w2), rest * y)


@helper
def bell(x, factor):
    """Return p, its rest, and n: (p + rest) 2^n = e^(factor x^2), for a factor of -1/2 or -1."""
    square = x * x
    n, r, s = reduced(factor * square)
    p, rest = power(r, fma(factor, fma_exact(x, x, minus(square)), s))
    return p, rest, n


@helper
def mills(x):
    """Return (x + 5/4) e^(x^2 / 2) Phi(-x) for x >= 0."""
    c = CENTRE(x)
    t = (x - c) / (x + c)
    return fma(t, mills_curve(t), mills_start(x))


# --- functions -------------------------------------------------------------------------------------------


@helper
def exp(x):
    """Return e^x."""
    n, r, s = reduced(at_most(at_least(x, LOWEST_EXP(x)), HIGHEST_EXP(x)))
    return scaled(power(r, s)[0], n)


@helper
def expm1(x):
    """Return e^x - 1 for x <= 0."""
    n, r, s = reduced(at_least(x, LOWEST_EXP(x)))
    whole = scaled(splat(1.0, x), n)
    return fma(whole, r + bend(r, s), whole - splat(1.0, x))


@helper
def log(x):
    """Return the natural logarithm; NaN below 0."""
    one, zero, infinity = splat(1.0, x), splat(0.0, x), splat(math.inf, x)
    up = where_less(x, SMALLEST_NORMAL(x), DIGITS(x), zero)
    normal = scaled(x, up)
    n = exponent(normal)
    y = log1p(scaled(normal, minus(n)) - one, splat(-0.0, x))
    n = n - up
    y = fma(n, LN2_HIGH(x), fma(n, LN2_LOW(x), y))
    outside = where_equal(x, zero, minus(infinity), splat(math.nan, x))
    return where_less(zero, x, where_less(x, infinity, y, x), outside)


@helper
def log_from_1(x):
    """Return what `log` does, for x from 1 to the largest number; 0 for any other."""
    n = exponent_from_1(x)
    y = log1p(mantissa(x) - splat(1.0, x), splat(-0.0, x))
    return fma(n, LN2_HIGH(x), fma(n, LN2_LOW(x), y))


@helper
def log1p_exp_minus_abs(z):
    """Return log(1 + e^-|z|)."""
    e, e_rest = exp_minus_abs(z)
    return log1p(e, e_rest)


@helper
def softplus(z):
    """Return log(1 + e^z) = max(z, 0) + log(1 + e^-|z|)."""
    return at_least(z, splat(0.0, z)) + log1p_exp_minus_abs(z)


@helper
def sigmoid(z):
    """Return s(z) = 1 / (1 + e^-z) for z >= 0, and e^z / (1 + e^z) below."""
    e, _ = exp_minus_abs(z)  # with its rest 0.9 ulp instead of 1.5, and a tenth slower
    one = splat(1.0, z)
    d = one + e
    top = where_less(z, splat(0.0, z), e, one)
    q, rest, y = quotient(top, splat(-0.0, z), d, e - (d - one))
    return fma(rest, y, q)


@helper
def tanh(z):
    """Return the hyperbolic tangent."""
    return tanh_by_table(z) if has_table(z) else tanh_by_formula(z)


@helper
def tanh_by_formula(z):
    """Return tanh z = m / (2 + m) with m = e^(-2 |z|) - 1, and the sign of z."""
    one, two = splat(1.0, z), splat(2.0, z)
    x = at_least(minus(magnitude(z)), LOWEST_TANH(z))
    n, r, s = reduced(x + x)
    whole = scaled(one, n)
    high = fma(whole, r, whole - one)
    low = fma(whole, bend(r, s), fma(whole, r, whole - one - high))
    m = high + low
    m_rest = low - (m - high)
    d = two + m
    q, rest, y = quotient(m, m_rest, d, m - (d - two) + m_rest)
    return with_sign(fma(rest, y, q), z)


@helper
def relu(z):
    """Return max(z, 0)."""
    return at_least(z, splat(0.0, z))


@helper
def leaky_relu(z):
    """Return z where z > 0, else 0.01 z."""
    return where_less(z, splat(0.0, z), splat(LEAKY_RELU_SLOPE, z) * z, z)


@helper
def elu(z):
    """Return z where z > 0, else e^z - 1."""
    zero = splat(0.0, z)
    return where_less(zero, z, z, with_sign(expm1(at_most(z, zero)), z))


@helper
def silu(z):
    """Return z s(z), with s as in `sigmoid`. The power of two comes last: s alone may underflow."""
    x = at_least(minus(magnitude(z)), LOWEST_SIGMOID(z))
    n, r, s = reduced(x)
    p, p_rest = power(r, s)
    one, zero = splat(1.0, z), splat(0.0, z)
    e = scaled(p, n)
    d = one + e
    top, top_rest = where_less(z, zero, p, one), where_less(z, zero, p_rest, zero)
    q, rest, y = quotient(top, top_rest, d, e - (d - one))
    tail = with_sign(x, z) * (rest * y)
    return scaled(fma(at_least(z, LOWEST_SIGMOID(z)), q, tail), where_less(z, zero, n, zero))


@helper
def softsign(z):
    """Return z / (1 + |z|)."""
    x = at_most(magnitude(z), HIGHEST_SOFTSIGN(z))
    return with_sign(x / (splat(1.0, z) + x), z)


@helper
def gelu(z):
    """Return z Phi(z) = max(z, 0) - |z| Phi(-|z|)."""
    x, shift = at_most(magnitude(z), HIGHEST_GELU(z)), splat(SHIFT, z)
    p, p_rest, n = bell(x, splat(-0.5, z))
    m = mills(x)
    d = shift + x
    y = splat(1.0, z) / d
    a = x * m
    q = a * y
    q_rest = fma(minus(q), x - (d - shift), fma_exact(minus(q), d, a) + fma_exact(x, m, minus(a))) * y
    tail = fma(q, p, fma(q, p_rest, q_rest * p))
    return where_less(z, splat(0.0, z), splat(-0.0, z), z) - scaled(tail, n)


@helper
def erf(x):
    """Return the error function: for x >= 1/2 it is 1 - 2 Phi(-sqrt(2) x)."""
    z = at_most(magnitude(x), splat(10.0, x))
    p, _, n = bell(z, splat(-1.0, x))
    u = z * splat(math.sqrt(2.0), x)
    far = fma(splat(-2.0, x), scaled(mills(u) / (u + splat(SHIFT, x)) * p, n), splat(1.0, x))
    return where_less(z, splat(0.5, x), fma(x, erf_curve(x * x), x), with_sign(far, x))


# --- slopes: da/dz from a, or from z for silu and gelu ----------------------------------------------------


@helper
def sigmoid_slope(a, z):
    """Return a (1 - a)."""
    return fma(minus(a), a, a)


@helper
def tanh_slope(a, z):
    """Return 1 - a^2."""
    return fma(minus(a), a, splat(1.0, a))


@helper
def relu_slope(a, z):
    """Return 1 where a > 0, else 0."""
    zero = splat(0.0, a)
    return where_less(zero, a, splat(1.0, a), zero)


@helper
def leaky_relu_slope(a, z):
    """Return 1 where a > 0, else 0.01."""
    return where_less(splat(0.0, a), a, splat(1.0, a), splat(LEAKY_RELU_SLOPE, a))


@helper
def elu_slope(a, z):
    """Return 1 where a > 0, else a + 1."""
    one = splat(1.0, a)
    return where_less(splat(0.0, a), a, one, a + one)


@helper
def softplus_slope(a, z):
    """Return 1 - e^-a."""
    return minus(expm1(minus(a)))


@helper
def softsign_slope(a, z):
    """Return (1 - |a|)^2."""
    rest = splat(1.0, a) - magnitude(a)
    return rest * rest


@helper
def exp_slope(a, z):
    """Return e^z."""
    return a


@helper
def silu_slope(a, z):
    """Return s(z) (1 + z (1 - s(z))); above 0 it is 1 minus the slope at -z."""
    x = at_least(minus(magnitude(z)), LOWEST_SIGMOID(z))
    n, r, s = reduced(x)
    p, one = power(r, s)[0], splat(1.0, z)
    y = one / (one + scaled(p, n))
    slope = scaled(p * y * fma(x, y, one), n)
    return where_less(z, splat(0.0, z), slope, one - slope)


@helper
def gelu_slope(a, z):
    """Return Phi(z) + z phi(z); above 0 it is 1 minus the slope at -z."""
    x, one = at_most(magnitude(z), HIGHEST_GELU(z)), splat(1.0, z)
    p, _, n = bell(x, splat(-0.5, z))
    tail = mills(x) / (x + splat(SHIFT, z))
    slope = scaled(fma(splat(-1 / math.sqrt(2 * math.pi), z), x, tail) * p, n)
    return where_less(z, splat(0.0, z), slope, one - slope)


# --- over arrays -----------------------------------------------------------------------------------------


@helper
def each(function, z, a, n):
    """Write function(z) to a, two vectors at a time: their operations overlap, which is 10 % faster."""
    two = 2 * wide(z)
    done = n - n % two
    for i in range(0, done, two):
        store(a, i, function(wide_loads(z, i, 2)))
    if done < n:
        store(a, done, function(wide_load(z, done)))


@helper
def each_slope(function, a, z, delta, n):
    """Multiply delta by function(a, z), two vectors at a time."""
    two = 2 * wide(a)
    done = n - n % two
    for i in range(0, done, two):
        slope = function(wide_loads(a, i, 2), wide_loads(z, i, 2))
        store(delta, i, wide_loads(delta, i, 2) * slope)
    if done < n:
        slope = function(wide_load(a, done), wide_load(z, done))
        store(delta, done, wide_load(delta, done) * slope)


@routine
def activate(code, z, a, n):
    """Write f(z) to a.

    Parameters
    ----------
    code : int
        The code of f in `fastbp.activations`. It is not softmax, which needs whole rows.
    z, a : addresses
        They may be equal.
    n : int
        A multiple of `wide(z)`.
    """
    if code == SIGMOID:
        each(sigmoid, z, a, n)
    elif code == TANH:
        each(tanh, z, a, n)
    elif code == RELU:
        each(relu, z, a, n)
    elif code == LEAKY_RELU:
        each(leaky_relu, z, a, n)
    elif code == ELU:
        each(elu, z, a, n)
    elif code == GELU:
        each(gelu, z, a, n)
    elif code == SILU:
        each(silu, z, a, n)
    elif code == SOFTPLUS:
        each(softplus, z, a, n)
    elif code == SOFTSIGN:
        each(softsign, z, a, n)
    elif code == EXPONENTIAL:
        each(exp, z, a, n)
    elif not same(z, a):
        for i in range(0, n, wide(z)):
            store(a, i, wide_load(z, i))


@routine
def apply_slope(code, a, z, delta, n):
    """Multiply delta by f'(z): delta = dL/da becomes dL/dz.

    Parameters
    ----------
    code : int
        The code of f in `fastbp.activations`. It is not softmax, which needs whole rows.
    a, z, delta : addresses
        a = f(z). Only gelu and silu use z; for the others it may be any n numbers.
    n : int
        A multiple of `wide(a)`.
    """
    if code == SIGMOID:
        each_slope(sigmoid_slope, a, z, delta, n)
    elif code == TANH:
        each_slope(tanh_slope, a, z, delta, n)
    elif code == RELU:
        each_slope(relu_slope, a, z, delta, n)
    elif code == LEAKY_RELU:
        each_slope(leaky_relu_slope, a, z, delta, n)
    elif code == ELU:
        each_slope(elu_slope, a, z, delta, n)
    elif code == GELU:
        each_slope(gelu_slope, a, z, delta, n)
    elif code == SILU:
        each_slope(silu_slope, a, z, delta, n)
    elif code == SOFTPLUS:
        each_slope(softplus_slope, a, z, delta, n)
    elif code == SOFTSIGN:
        each_slope(softsign_slope, a, z, delta, n)
    elif code == EXPONENTIAL:
        each_slope(exp_slope, a, z, delta, n)


@kernel
def elementwise_apply(function, x, out):
    """Write a function of x to out.

    Parameters
    ----------
    function : int
        The code of an activation other than softmax, or `LOG_CODE` or one of its neighbours.
    x : float32[n] or float64[n]
    out : like x, written
    """
    width = wide(address(x))
    done = x.size - x.size % width
    end = np.ones(width, x.dtype)  # the last numbers, padded to a whole vector
    end[: x.size - done] = x[done:]
    for z, a, n in ((address(x), address(out), done), (address(end), address(end), width)):
        if function == LOG_CODE:
            each(log, z, a, n)
        elif function == ERF_CODE:
            each(erf, z, a, n)
        elif function == LOG1P_EXP_MINUS_ABS_CODE:
            each(log1p_exp_minus_abs, z, a, n)
        else:
            activate(function, z, a, n)
    out[done:] = end[: x.size - done]
