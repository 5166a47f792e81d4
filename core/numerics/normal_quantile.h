// Quantiles of the standard normal distribution.
#ifndef EMSERVE_CORE_NUMERICS_NORMAL_QUANTILE_H_
#define EMSERVE_CORE_NUMERICS_NORMAL_QUANTILE_H_

namespace emserve {

// The z with P(Z <= z) = p of a standard normal Z, to a few ulps of the larger of |z| and 1 for all
// p from 1e-300 to 1; -infinity at 0, infinity at 1, NaN outside [0, 1]. Near 1 the caller who
// knows 1 - p better asks for that one's and changes the sign. Pure, thread-safe.
double NormalQuantile(double p);

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_NORMAL_QUANTILE_H_
