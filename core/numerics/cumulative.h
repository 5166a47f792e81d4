// How probable smaller and larger values are, both tails with their own relative precision.
//
// The only file that knows Boost.Math: its incomplete gamma and beta functions are right from the
// smallest parameters to millions. Very large shapes of gamma distributions, where its terms become
// too many, are integrated here.
#ifndef EMSERVE_CORE_NUMERICS_CUMULATIVE_H_
#define EMSERVE_CORE_NUMERICS_CUMULATIVE_H_

namespace emserve {

// Probabilities of less than a value, of just it, and of more. They sum to 1 but for rounding, and
// the smallest ones have as many digits as the largest.
struct Cumulatives {
  double below = 0;
  double at = 0;  // 0 for a density
  double above = 0;
};

// Relative errors are below 1e-10 down to 1e-300, besides what rounding of the arguments brings.
// Arguments that are NaN count as values below all others. All are pure and thread-safe.

// Of the standard normal distribution.
Cumulatives NormalCumulatives(double z);

// Of Student's t distribution, degrees_of_freedom > 0.
Cumulatives StudentCumulatives(double t, double degrees_of_freedom);

// Of the gamma distribution of rate 1, shape > 0.
Cumulatives GammaCumulatives(double shape, double x);

// Of the Poisson distribution at whole counts, rate >= 0.
Cumulatives PoissonCumulatives(double rate, double count);

// Of the negative binomial distribution with mean >= 0 and variance mean + mean^2 / dispersion,
// dispersion > 0, at whole counts, with `log_density` there. Relative errors grow in proportion to
// means and dispersions above 1e9, to 1e-7 at 1e12.
Cumulatives NegativeBinomialCumulatives(double mean, double dispersion, double count,
                                        double log_density);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_CUMULATIVE_H_
