// Multivariate Student's t emission: elliptical components with heavy tails, in which a row far
// from every component pulls on none.
#ifndef EMSERVE_CORE_EMISSION_STUDENT_T_H_
#define EMSERVE_CORE_EMISSION_STUDENT_T_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/covariance.h"
#include "core/distribution/emission.h"
#include "core/distribution/location.h"

namespace emserve {

struct StudentTOptions {
  // Of the scale matrices; where degrees of freedom exceed 2 a component's covariance is its scale
  // matrix times nu / (nu - 2).
  Covariance covariance = Covariance::kFull;
  double ridge = 1e-9;  // as GaussianOptions::ridge, on the scale matrices
  // Whether a fit estimates the degrees of freedom, and whether all components have the same.
  bool estimate_degrees_of_freedom = true;
  bool shared_degrees_of_freedom = false;
  // The degrees of freedom where they are not estimated, which must then be given, and else those
  // around which starts are made: default 30 (or the bound nearest to it), nearly a Gaussian's.
  // From there EM takes about as many iterations to 3 or 10 as from 10, and a quarter fewer to 50
  // and beyond, where it is slow.
  std::optional<double> degrees_of_freedom = std::nullopt;
  // Degrees of freedom stay within these, 0 < minimum <= maximum; reported with
  // kDegreesOfFreedomBounded when a fit would leave them. At 0.1 a fifth of the rows of a column
  // lie a million scales away, where squares say nothing any more. At 1e6 the density is the
  // Gaussian's to 1e-4 nats within 4 standard deviations: a likelihood that still rises there has
  // its maximum at infinity.
  double minimum_degrees_of_freedom = 0.1;
  double maximum_degrees_of_freedom = 1e6;
  // Absent: maximum likelihood. On means and scale matrices; none on degrees of freedom.
  std::optional<NormalInverseWishart> prior = std::nullopt;
};

// Parameters: means [K, D], scale matrices under the names of covariance.h, and degrees_of_freedom
// [K], or [1] if shared. With the row's precision factor u ~ Gamma(nu / 2, rate nu / 2) given, x ~
// N(mean, S / u); u is integrated out. Peel & McLachlan (2000), "Robust mixture modelling using the
// t distribution", with covariance structures as in Andrews & McNicholas (2012), "Model-based
// clustering, classification, and discriminant analysis via mixtures of multivariate
// t-distributions".
//
// Statistics, with d the row's observed cells and delta their squared distance, and u = E(u | x) =
// (nu + d) / (nu + delta): first [K, D] and second, sums of r u (x - mean) and r u (x - mean)(x -
// mean)^T; precision [K], sum of r u; tail [K], sum of r (log u - u + 1) for complete rows
// (tails.h). Means and scale matrices are maximised as in EM, exactly; degrees of freedom over a
// bound on the log density that is tighter than EM's and as monotone (tails.h). So Maximize
// maximises, and ExpectedLogDensity is, that bound.
//
// Missing cells: the observed ones are t again with the same degrees of freedom, and the missing
// ones given them and u are normal (Wang, Zhang, Luo & Wei 2004, "Estimation for multivariate t
// mixtures with missing information"). Conditional gives their location, which is the mean where nu
// + d > 1, and the variance (nu + delta) / (nu + d - 2) S_mm.o, infinite where nu + d <= 2.
//
// Constraints: means and matrices as MakeGaussian's; degrees of freedom one by one, fixed ones
// within the bounds.
//
// Errors as MakeGaussian's, and InvalidArgument "degrees_of_freedom: got ..." or
// "minimum_degrees_of_freedom: got ..." (or the maximum). An E-step costs what the Gaussian's does,
// a second pass of squared distances and two logarithms per row and component.
absl::StatusOr<std::unique_ptr<Emission>> MakeStudentT(const StudentTOptions& options,
                                                       int num_components, const Summary& summary,
                                                       const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_STUDENT_T_H_
