/* The contender C: the 2-2-2 training loop as one writes it in C, everything in local variables.
 *
 * REAL is double or float, and EXP its exponential; both are given on the command line.
 * theta is laid out as fastbp's Network.theta: w1 w3 w2 w4 bh1 bh2 w5 w7 w6 w8 by1 by2.
 */
#include <math.h>
#include <stdint.h>

void train(REAL *theta, const REAL *X, const REAL *Y, int64_t n_samples, REAL learning_rate, int64_t steps)
{
    const REAL one = 1;
    const REAL bh1 = theta[4], bh2 = theta[5], by1 = theta[10], by2 = theta[11];
    REAL w1 = theta[0], w2 = theta[2], w3 = theta[1], w4 = theta[3];
    REAL w5 = theta[6], w6 = theta[8], w7 = theta[7], w8 = theta[9];
    int64_t i = 0;

    for (int64_t step = 0; step < steps; step++) {
        const REAL x1 = X[2 * i], x2 = X[2 * i + 1], t1 = Y[2 * i], t2 = Y[2 * i + 1];

        const REAL h1 = one / (one + EXP(-(w1 * x1 + w2 * x2 + bh1)));
        const REAL h2 = one / (one + EXP(-(w3 * x1 + w4 * x2 + bh2)));
        const REAL y1 = one / (one + EXP(-(w5 * h1 + w6 * h2 + by1)));
        const REAL y2 = one / (one + EXP(-(w7 * h1 + w8 * h2 + by2)));

        const REAL d1 = learning_rate * (y1 - t1) * y1 * (one - y1);
        const REAL d2 = learning_rate * (y2 - t2) * y2 * (one - y2);
        const REAL g1 = (d1 * w5 + d2 * w7) * h1 * (one - h1);
        const REAL g2 = (d1 * w6 + d2 * w8) * h2 * (one - h2);

        w5 -= d1 * h1;
        w6 -= d1 * h2;
        w7 -= d2 * h1;
        w8 -= d2 * h2;
        w1 -= g1 * x1;
        w2 -= g1 * x2;
        w3 -= g2 * x1;
        w4 -= g2 * x2;

        if (++i == n_samples)
            i = 0;
    }

    theta[0] = w1, theta[2] = w2, theta[1] = w3, theta[3] = w4;
    theta[6] = w5, theta[8] = w6, theta[7] = w7, theta[9] = w8;
}
