// Categorical emission: answers, grades, symbols. With the mixture it is latent class analysis.
#ifndef EMSERVE_CORE_EMISSION_CATEGORICAL_H_
#define EMSERVE_CORE_EMISSION_CATEGORICAL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

// Cells are category codes, whole numbers: column c has codes first[c] .. first[c] + num_levels[c]
// - 1.
struct CategoricalOptions {
  // [D], or one for all columns, in [-2^52, 2^52]. Empty: each column's smallest code.
  std::vector<int64_t> first;
  // [D], or one for all columns, from 1 to 1,000,000. Empty: up to each column's largest code.
  std::vector<int64_t> num_levels;
  // Symmetric Dirichlet prior on every component's probabilities of every column, >= 1: as if each
  // category had been seen concentration - 1 times more. 1: none, the maximum-likelihood estimate.
  // More than 1 keeps codes possible that a component has not seen; below 1 the prior's density has
  // no bound, and no maximum.
  double concentration = 1;
};

// The options with first and num_levels filled in, one per column, from the codes that the rows
// with weight have. What is made from the result no longer depends on the table: keep it with a
// model.
//
// InvalidArgument "first[<i>]: got ..." and the like for options out of range;
// FailedPrecondition "columns[<name>]: got ..., must be ..." for a column that has codes other than
// whole numbers or codes outside its levels, more than 1,000,000 levels, or no cell to tell its
// codes by.
absl::StatusOr<CategoricalOptions> ResolveCategorical(const CategoricalOptions& options,
                                                      const Summary& summary,
                                                      const std::vector<std::string>& names);

// Columns are independent given the component: p(x | k) = prod_c probabilities_c[k, x_c - first_c]
// over the observed cells; missing ones are left out. A code in range that no row of a component
// has gets probability 0 without a prior.
//
// Parameters: probabilities_<c> [K, levels of column c], one array per column c = 0, 1, ....
// Statistics: counts_<c> [levels of column c, K]. Constraints: any fixed elements, and ties
// within an array, that leave probability vectors. Rows whose codes are out of range have density
// 0, but see CheckRows. A row costs O(K D), whatever the number of levels.
//
// Goodman (1974); Linzer & Lewis (2011). Errors: as ResolveCategorical; InvalidArgument
// "concentration: got ...".
absl::StatusOr<std::unique_ptr<Emission>> MakeCategorical(const CategoricalOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_CATEGORICAL_H_
