// Von Mises-Fisher emission: rows are directions, unit vectors around a mean direction.
#ifndef EMSERVE_CORE_EMISSION_VON_MISES_FISHER_H_
#define EMSERVE_CORE_EMISSION_VON_MISES_FISHER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

// Largest concentration that a fit may reach, standard deviations of 1e-6: beyond it squared
// distances on the sphere are mostly rounding of doubles.
inline constexpr double kMaxConcentration = 1e12;

struct VonMisesFisherOptions {
  bool shared_concentration = false;  // one for all components
  // Conjugate prior of every component (Nunez-Antonio & Gutierrez-Pena 2005): as if it had
  // prior_strength >= 0 rows more, in observations' worth, with this mean vector [D] of a length of
  // at most 1. A unit vector draws mean directions towards it and concentrations up; a shorter one
  // draws concentrations towards those of rows with such a mean. Empty: the zero vector, which
  // draws concentrations towards 0 and directions nowhere. Strength 0: no prior.
  std::vector<double> prior_mean;
  double prior_strength = 0;
};

// p(x | k) = C(kappa_k) exp(kappa_k m_k . x / |x|) with respect to the surface of the unit sphere
// in D >= 2 dimensions, C(kappa) = kappa^nu / ((2 pi)^(nu+1) I_nu(kappa)), nu = D / 2 - 1; kappa =
// 0 is the uniform distribution. Accurate for any D to 10,000 and kappa to kMaxConcentration.
//
// Parameters: mean_directions [K, D], unit vectors, then concentrations [K], or [1] if shared.
// Statistics: first [K, D], sums of x / |x| - m_k. A concentration at kMaxConcentration, where rows
// of a component are all but equal, is an exact constrained maximum and reported as
// kVarianceFloored. Constraints: concentrations fixed and tied one by one; mean directions fixed as
// whole vectors.
//
// Unconstrained coordinates: mean directions as they are, of which the length does not count, and
// logarithms of concentrations.
//
// A row without any cell says nothing: its density is 1, and Conditional gives the mean resultant
// vector. A row with some of its cells missing is not defined. A row costs O(K D). Banerjee,
// Dhillon, Ghosh & Sra (2005); the concentration by Newton's method from their start (Sra 2012);
// sampling by Wood (1994).
//
// Errors: InvalidArgument "prior_mean: got ...", "prior_strength: got ..." or "columns: got 1, must
// be at least 2"; FailedPrecondition "columns[<name>]: got ..., must be complete, ..." for a table
// whose columns miss different rows.
absl::StatusOr<std::unique_ptr<Emission>> MakeVonMisesFisher(const VonMisesFisherOptions& options,
                                                             int num_components,
                                                             const Summary& summary,
                                                             const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_VON_MISES_FISHER_H_
