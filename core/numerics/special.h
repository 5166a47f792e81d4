// Special functions of count and gamma distributions, in the forms that lose no digits.
//
// Apart from the standard library's, whose lgamma writes a global and which has no digamma. All are
// pure, thread-safe and accurate to a few ulps of the larger of the result and 1 unless said
// otherwise. Asymptotic series: Abramowitz & Stegun (1964), 6.1.40, 6.3.18 and 6.4.12.
#ifndef EMSERVE_CORE_NUMERICS_SPECIAL_H_
#define EMSERVE_CORE_NUMERICS_SPECIAL_H_

namespace emserve {

// log Gamma(x), x > 0.
double LogGamma(double x);

// log(x!) = log Gamma(x + 1), x >= 0; a table lookup for whole x below 256. 0 for x < 0.
double LogFactorial(double x);

// log(x!) - [log(2 pi x) / 2 + x log x - x], x > 0: what Stirling's formula leaves, to a relative
// error of 1e-13 for x >= 16 and to 1e-15 absolute below. Loader (2000), "Fast and accurate
// computation of binomial probabilities".
double StirlingError(double x);

// (1 + t) log(1 + t) - t, t >= -1: m times it at t = (x - m) / m is half the Poisson deviance x
// log(x / m) - (x - m), in full precision however close x is to m. Loader (2000).
double HalfDeviance(double t);

// u - log(1 + u) >= 0, u >= -1, in full precision also near 0. The first takes log(1 + u) from the
// caller, who may have it cheaper, and uses it away from 0 only; without branches, for vectors.
inline double LogDeficit(double u, double log1p_u) {
  const double v = u / (2 + u);  // log(1 + u) = 2 atanh(v), and u - 2 v = u v
  const double y = v * v;
  const double tail =
      1.0 / 3 + y * (1.0 / 5 + y * (1.0 / 7 + y * (1.0 / 9 + y * (1.0 / 11 + y * (1.0 / 13)))));
  const double near = v * (u - 2 * y * tail);
  const double far = u - log1p_u;
  return u * u < 1.0 / 256 ? near : far;
}
double LogDeficit(double u);

// psi(x) and psi'(x), x > 0.
double Digamma(double x);
double Trigamma(double x);

// log x - psi(x), x > 0: positive, to full relative precision also for large x.
double LogMinusDigamma(double x);

// The x > 0 with log x - psi(x) = value, value > 0; infinity where it is beyond 1e300. Newton on
// log x from the start of Minka (2002), "Estimating a Gamma distribution".
double InverseLogMinusDigamma(double value);

// The x > 0 with psi(x) = value. Minka (2000), "Estimating a Dirichlet distribution", appendix C.
double InverseDigamma(double value);

// psi(r + x) - psi(r) = sum_{j < x} 1 / (r + j), and psi'(r) - psi'(r + x) = sum_{j < x} 1 / (r +
// j)^2, for r > 0 and whole x >= 0, to full relative precision also where r >> x.
double DigammaRise(double r, double x);
double TrigammaFall(double r, double x);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_SPECIAL_H_
