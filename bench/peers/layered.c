/* The peer C: a training loop for any layered network. What each part is for, and what was tried, stands in
 * c_loops.py.
 *
 * REAL is float or double, BITS its size; EXP and TANH are its functions. Matrices are row-major. theta holds,
 * layer by layer, W (n_in x n_out) and then b; grad, m and v are laid out like it.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __GLIBC__ && defined __x86_64__ && defined __GNUC__ && !defined __clang__
/* glibc has these for whole vectors, and shows them only to code compiled with -ffast-math. */
__attribute__((simd("notinbranch"))) extern REAL EXP(REAL);
__attribute__((simd("notinbranch"))) extern REAL TANH(REAL);
#endif

#ifdef __AVX512F__
#define VECTOR_BYTES 64
#else
#define VECTOR_BYTES 32
#endif
#define LANES (VECTOR_BYTES * 8 / BITS)
#define ROWS 6             /* 6 x 2 vectors of sums stay in registers */
#define COLUMNS (2 * LANES)
#define PARALLEL 1000000   /* multiplications from which a second thread pays */

typedef REAL vector __attribute__((vector_size(VECTOR_BYTES), aligned(BITS / 8)));

enum { IDENTITY, SIGMOID, TANH_, RELU, SOFTMAX };

typedef struct {
    int64_t n_layers, batch, n_batches, squared, hidden, output, train_biases, adam;
    double rate, beta1, beta2, epsilon;
} settings;

/* out[r, 0:COLUMNS] = sum_k a[r, k] panel[k, :] for `rows` rows, a constant to the compiler. */
static inline __attribute__((always_inline)) void
block(int rows, int64_t K, const REAL *a, int64_t row_step, int64_t k_step, const REAL *panel,
      REAL *out, int64_t out_step, int64_t width)
{
    vector sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        sum[r][0] = sum[r][1] = (vector){0};
    for (int64_t k = 0; k < K; k++) {
        const vector b0 = *(const vector *)(panel + k * COLUMNS);
        const vector b1 = *(const vector *)(panel + k * COLUMNS + LANES);
        for (int r = 0; r < rows; r++) {
            const REAL a_rk = a[r * row_step + k * k_step];
            sum[r][0] += a_rk * b0;
            sum[r][1] += a_rk * b1;
        }
    }
    for (int r = 0; r < rows; r++) {
        if (width == COLUMNS) {
            *(vector *)(out + r * out_step) = sum[r][0];
            *(vector *)(out + r * out_step + LANES) = sum[r][1];
        } else
            memcpy(out + r * out_step, sum[r], width * sizeof(REAL));
    }
}

/* What PARALLEL_FOR does on one thread is a plain loop: entering a parallel region on one thread takes 0.1 us. */
#define PARALLEL_FOR(is_large, size, f, ...)                  \
    if (is_large) {                                           \
        _Pragma("omp parallel for schedule(static)")          \
        for (int64_t part = 0; part < 2 * MAX_THREADS; part++) \
            f((size) * part / (2 * MAX_THREADS), (size) * (part + 1) / (2 * MAX_THREADS), __VA_ARGS__); \
    } else                                                    \
        f(0, size, __VA_ARGS__)
#define MAX_THREADS 32

/* Some panels of out (M x N) = A B, with A[i, k] at a[i * row_step + k * k_step] and B[k, j] at
 * b[k * b_row + j * b_column]. */
static void panels_of_product(int64_t first, int64_t end, int64_t M, int64_t N, int64_t K, const REAL *a,
                              int64_t row_step, int64_t k_step, const REAL *b, int64_t b_row, int64_t b_column,
                              REAL *out, REAL *panels)
{
    for (int64_t p = first; p < end; p++) {
        const int64_t j = p * COLUMNS, width = N - j < COLUMNS ? N - j : COLUMNS;
        REAL *panel = panels + p * COLUMNS * K;
        for (int64_t k = 0; k < K; k++) {
            const REAL *row = b + k * b_row + j * b_column;
            REAL *packed = panel + k * COLUMNS;
            if (b_column == 1)
                memcpy(packed, row, width * sizeof(REAL));
            else
                for (int64_t c = 0; c < width; c++)
                    packed[c] = row[c * b_column];
            for (int64_t c = width; c < COLUMNS; c++)
                packed[c] = 0;
        }
        for (int64_t i = 0; i < M; i += ROWS) {
            const REAL *rows = a + i * row_step;
            REAL *to = out + i * N + j;
            switch (M - i) {
            case 1: block(1, K, rows, row_step, k_step, panel, to, N, width); break;
            case 2: block(2, K, rows, row_step, k_step, panel, to, N, width); break;
            case 3: block(3, K, rows, row_step, k_step, panel, to, N, width); break;
            case 4: block(4, K, rows, row_step, k_step, panel, to, N, width); break;
            case 5: block(5, K, rows, row_step, k_step, panel, to, N, width); break;
            default: block(6, K, rows, row_step, k_step, panel, to, N, width);
            }
        }
    }
}

static void product(int64_t M, int64_t N, int64_t K, const REAL *a, int64_t row_step, int64_t k_step,
                    const REAL *b, int64_t b_row, int64_t b_column, REAL *out, REAL *panels)
{
    PARALLEL_FOR(M * N * K > PARALLEL, (N + COLUMNS - 1) / COLUMNS, panels_of_product, M, N, K, a, row_step, k_step,
                 b, b_row, b_column, out, panels);
}

static void activate(int64_t first, int64_t end, int64_t code, int64_t n, REAL *z, const REAL *b)
{
    for (int64_t r = first; r < end; r++) {
        REAL *row = z + r * n;
        if (code == RELU) {
#pragma omp simd
            for (int64_t j = 0; j < n; j++) {
                const REAL z_j = row[j] + b[j];
                row[j] = z_j > 0 ? z_j : 0;
            }
        } else if (code == TANH_) {
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                row[j] = TANH(row[j] + b[j]);
        } else if (code == SIGMOID) {
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                row[j] = 1 / (1 + EXP(-(row[j] + b[j])));
        } else {
#pragma omp simd
            for (int64_t j = 0; j < n; j++)
                row[j] += b[j];
        }
        if (code == SOFTMAX) {
            REAL largest = row[0], total = 0;
            for (int64_t j = 1; j < n; j++)
                largest = row[j] > largest ? row[j] : largest;
#pragma omp simd reduction(+ : total)
            for (int64_t j = 0; j < n; j++)
                total += row[j] = EXP(row[j] - largest);
            const REAL scale = 1 / total;
            for (int64_t j = 0; j < n; j++)
                row[j] *= scale;
        }
    }
}

static void times_slope(int64_t first, int64_t end, int64_t code, REAL *delta, const REAL *a)
{
#pragma omp simd
    for (int64_t j = first; j < end; j++)
        delta[j] *= code == RELU ? (REAL)(a[j] > 0) : code == TANH_ ? 1 - a[j] * a[j]
                  : code == SIGMOID ? a[j] * (1 - a[j]) : 1;
}

/* One sample: a product is a vector times a matrix, and a gradient is used as it is formed. */
static void forward_one(int64_t n_in, int64_t n_out, const REAL *a, const REAL *W, REAL *z)
{
    memset(z, 0, n_out * sizeof(REAL));
    int64_t i = 0;
    for (; i + 4 <= n_in; i += 4) {
        const REAL a0 = a[i], a1 = a[i + 1], a2 = a[i + 2], a3 = a[i + 3];
        const REAL *W0 = W + i * n_out, *W1 = W0 + n_out, *W2 = W1 + n_out, *W3 = W2 + n_out;
#pragma omp simd
        for (int64_t j = 0; j < n_out; j++)
            z[j] += (a0 * W0[j] + a1 * W1[j]) + (a2 * W2[j] + a3 * W3[j]);
    }
    for (; i < n_in; i++)
        for (int64_t j = 0; j < n_out; j++)
            z[j] += a[i] * W[i * n_out + j];
}

static void backward_one(int64_t n_in, int64_t n_out, const REAL *delta, REAL *W, const REAL *a, REAL *below,
                         REAL rate)
{
    for (int64_t i = 0; i < n_in; i++) {
        REAL *row = W + i * n_out, sum = 0;
        const REAL step = rate * a[i];
        if (below) {
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < n_out; j++) {
                sum += row[j] * delta[j];
                row[j] -= step * delta[j];
            }
            below[i] = sum;
        } else {
#pragma omp simd
            for (int64_t j = 0; j < n_out; j++)
                row[j] -= step * delta[j];
        }
    }
}

static void adam(int64_t first, int64_t end, const settings *s, int64_t k, REAL *theta, const REAL *grad, REAL *m,
                 REAL *v)
{
    const REAL r = s->rate / (1 - pow(s->beta1, k)), root = 1 / sqrt(1 - pow(s->beta2, k));
    const REAL beta1 = s->beta1, beta2 = s->beta2, epsilon = s->epsilon;
    const REAL rest1 = 1 - s->beta1, rest2 = 1 - s->beta2;
#pragma omp simd
    for (int64_t i = first; i < end; i++) {
        m[i] = beta1 * m[i] + rest1 * grad[i];
        v[i] = beta2 * v[i] + rest2 * grad[i] * grad[i];
        theta[i] -= r * m[i] / ((REAL)SQRT(v[i]) * root + epsilon);
    }
}

/* Returns 0, or 1 if there is no memory. */
int train(const settings *s, const int64_t *sizes, REAL *theta, const REAL *X, const REAL *T, int64_t steps)
{
    const int64_t n = s->n_layers, batch = s->batch;
    const REAL rate = s->rate, scale = 1 / (REAL)batch;
    int64_t w_at[64], a_at[65], n_parameters = 0, n_activations = 0, widest = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        w_at[i] = n_parameters;
        n_parameters += (sizes[i] + 1) * sizes[i + 1];
        a_at[i] = n_activations;
        n_activations += batch * sizes[i + 1];
    }
    for (int64_t i = 0; i <= n; i++)
        widest = sizes[i] > widest ? sizes[i] : widest;
    largest = (widest + COLUMNS) * (widest > batch ? widest : batch);
    REAL *a = calloc(n_activations, sizeof(REAL)), *delta = calloc(2 * batch * widest, sizeof(REAL));
    REAL *grad = calloc(n_parameters, sizeof(REAL)), *panels = malloc(largest * sizeof(REAL));
    REAL *m = calloc(s->adam ? n_parameters : 1, sizeof(REAL)), *v = calloc(s->adam ? n_parameters : 1, sizeof(REAL));
    const int failed = !a || !delta || !grad || !panels || !m || !v;

    for (int64_t k = 0; k < steps && !failed; k++) {
        const REAL *x = X + (k % s->n_batches) * batch * sizes[0];
        const REAL *t = T + (k % s->n_batches) * batch * sizes[n];
        const REAL *below = x;
        for (int64_t i = 0; i < n; i++) {
            const REAL *W = theta + w_at[i], *b = W + sizes[i] * sizes[i + 1];
            REAL *z = a + a_at[i];
            if (batch == 1)
                forward_one(sizes[i], sizes[i + 1], below, W, z);
            else
                product(batch, sizes[i + 1], sizes[i], below, sizes[i], 1, W, sizes[i + 1], 1, z, panels);
            PARALLEL_FOR(batch * sizes[i + 1] > PARALLEL / 20, batch, activate,
                         i == n - 1 ? s->output : s->hidden, sizes[i + 1], z, b);
            below = z;
        }
        REAL *d = delta, *next = delta + batch * widest;
        for (int64_t j = 0; j < batch * sizes[n]; j++)
            d[j] = (below[j] - t[j]) * scale;
        if (s->squared)
            times_slope(0, batch * sizes[n], s->output, d, below);
        for (int64_t i = n - 1; i >= 0; i--) {
            const int64_t n_in = sizes[i], n_out = sizes[i + 1];
            REAL *W = theta + w_at[i], *b = W + n_in * n_out, *dW = grad + w_at[i], *db = dW + n_in * n_out;
            const REAL *input = i ? a + a_at[i - 1] : x;
            if (batch == 1 && !s->adam) {
                backward_one(n_in, n_out, d, W, input, i ? next : NULL, rate);
                if (s->train_biases)
                    for (int64_t j = 0; j < n_out; j++)
                        b[j] -= rate * d[j];
            } else {
                if (i)
                    product(batch, n_in, n_out, d, n_out, 1, W, 1, n_out, next, panels);
                product(n_in, n_out, batch, input, 1, n_in, d, n_out, 1, dW, panels);
                memset(db, 0, n_out * sizeof(REAL));
                for (int64_t r = 0; s->train_biases && r < batch; r++)
                    for (int64_t j = 0; j < n_out; j++)
                        db[j] += d[r * n_out + j];
            }
            if (i)
                PARALLEL_FOR(batch * n_in > PARALLEL / 20, batch * n_in, times_slope, s->hidden, next, input);
            REAL *swapped = d;
            d = next, next = swapped;
        }
        if (s->adam)
            PARALLEL_FOR(n_parameters > PARALLEL / 20, n_parameters, adam, s, k + 1, theta, grad, m, v);
        else if (batch > 1)
            for (int64_t i = 0; i < n_parameters; i++)
                theta[i] -= rate * grad[i];
    }
    free(a), free(delta), free(grad), free(panels), free(m), free(v);
    return failed;
}
