// The distribution of some coordinates of a Gaussian given the others.
#ifndef EMSERVE_CORE_NUMERICS_CONDITIONAL_H_
#define EMSERVE_CORE_NUMERICS_CONDITIONAL_H_

#include <span>
#include <vector>

namespace emserve {

// Splits a covariance into observed (o) and missing (m) coordinates. Reused from split to split, so
// that it allocates only while they grow. Anderson (2003), section 2.5.
class ConditionalGaussian {
 public:
  // Factors the observed part of `covariance` [dims, dims], row-major, both triangles; false if it
  // is not positive definite. O(o^3).
  bool Factor(std::span<const double> covariance, int dims, std::span<const int> observed);

  // Of the last Factor: the inverse Cholesky factor of the observed part [o, o], row-major, lower
  // triangle with zeros above, and its log determinant.
  std::span<const double> inverse_factor() const { return inverse_; }
  double log_determinant() const { return log_determinant_; }

  // After Factor with the same arguments: regression() [m, o] = S_mo S_oo^-1, and covariance() [m,
  // m] = S_mm - S_mo S_oo^-1 S_om, both triangles. O(m o^2 + m^2 o).
  void Regress(std::span<const double> covariance, int dims, std::span<const int> observed,
               std::span<const int> missing);
  std::span<const double> regression() const { return regression_; }
  std::span<const double> covariance() const { return covariance_; }

 private:
  std::vector<double> factor_, inverse_, half_, regression_, covariance_;
  double log_determinant_ = 0;
};

}  // namespace emserve

#endif  // EMSERVE_CORE_NUMERICS_CONDITIONAL_H_
