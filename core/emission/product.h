// The product of emissions: blocks of columns that are independent given the component, each with
// its own distribution, so that mixed kinds of data are one model.
#ifndef EMSERVE_CORE_EMISSION_PRODUCT_H_
#define EMSERVE_CORE_EMISSION_PRODUCT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/distribution/emission.h"

namespace emserve {

struct ProductPart {
  std::string name;  // [a-z][a-z0-9_]{0,62}, unique
  std::unique_ptr<Emission> emission;
};

// The first part takes the first emission->num_columns() columns, the next one those behind them,
// and so on. p(x | k) = prod_p p_p(x_p | k): local independence (Hunt & Jorgensen 1999, "Mixture
// model clustering using the MULTIMIX program"). Parameters and statistics are the parts', in
// order, each array under "<part>.<array>".
//
// - Missing cells are the parts' affair. A part without a missing cell in a block gets it as
//   complete.
// - num_seeds: the parts', of which all must have as many. starts_hard: if every part does, as one
//   that must not start so would be hurt. has_distances: if every part has, as seeds are drawn by
//   distances over all columns.
// - Errors name parameters and constraints of a part by "<part>.".
// - Repairs are those of the parts; an empty component is reported once.
//
// InvalidArgument "parts: got none, ...", "parts[<p>].name: got ..., must be ..." or
// "parts[<p>].emission: got ...". Cost: the sum of the parts'.
absl::StatusOr<std::unique_ptr<Emission>> MakeProduct(std::vector<ProductPart> parts);

// The summary of the columns [first, first + count) alone, for making a part.
Summary SummaryOfColumns(const Summary& summary, int first, int count);

}  // namespace emserve

#endif  // EMSERVE_CORE_EMISSION_PRODUCT_H_
