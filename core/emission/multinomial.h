// Multinomial emission: a row counts how often each of D categories came up.
#ifndef EMSERVE_CORE_EMISSION_MULTINOMIAL_H_
#define EMSERVE_CORE_EMISSION_MULTINOMIAL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

struct MultinomialOptions {
  // Symmetric Dirichlet prior on every component's probabilities, >= 1: as if each category had
  // been counted concentration - 1 times more. 1: none, the maximum-likelihood estimate. More than
  // 1 keeps categories possible that a component has not seen; below 1 the prior's density has no
  // bound, and no maximum.
  double concentration = 1;
  // Total of a sampled row, and of the mean of one without cells, 0 to 1,000,000; what rows do
  // otherwise does not depend on it. 0: the mean total of the rows, rounded, at least 1.
  int64_t trials = 0;
};

// The options with trials filled in. What is made from the result no longer depends on the table:
// keep it with a model. InvalidArgument "trials: got ...".
absl::StatusOr<MultinomialOptions> ResolveMultinomial(const MultinomialOptions& options,
                                                      const Summary& summary);

// Rows are counts x over the D columns, whole numbers up to 2^53, with total n:
//   p(x | k) = n! / prod_d x_d! prod_d probabilities[k, d]^x_d.
// Totals are given, not modelled. A row with total 0 says nothing: its density is 1. A category
// that no row of a component has gets probability 0 without a prior. Rows with a negative count
// have density 0, but see CheckRows. Densities keep their digits for totals of any size: Loader
// (2000), "Fast and accurate computation of binomial probabilities".
//
// Parameters: probabilities [K, D]. Statistics: counts [K, D]. Constraints: any fixed or tied
// elements that leave probability vectors. A row costs O(K D).
//
// A row without any cell says nothing: its density is 1, and Conditional gives it `trials` counts.
// A row with some of its cells missing is not defined. Sampling a row takes O(trials log D).
//
// McLachlan & Peel (2000), section 5.3. Errors: InvalidArgument "concentration: got ...";
// FailedPrecondition "columns[<name>]: got ..., must be complete, ..." for a table whose columns
// miss different rows.
absl::StatusOr<std::unique_ptr<Emission>> MakeMultinomial(const MultinomialOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_MULTINOMIAL_H_
