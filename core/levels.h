// What columns of categories mean for a family's options.
//
// Beside families.h, whose list it follows: data sets that know the categories of their columns can
// say so, and then codes that no row has are in the model too.
#ifndef EMSERVE_CORE_LEVELS_H_
#define EMSERVE_CORE_LEVELS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/summary.h"
#include "core/families.h"

namespace emserve {

// `options` with the codes of categorical emissions filled in where they are left open: 0 to
// levels[c] - 1 for a column c that has so many categories; where a block mixes those with columns
// of plain codes (levels[c] = 0), these have the range of `summary`. Options of a block without
// categories stay as they are: its codes are found in the data.
//
// `levels` and `names` have one entry per modelled column. InvalidArgument "columns[<name>]: got a
// categorical column ..." for one whose emission cannot be of categories (Bernoulli can be of two).
absl::StatusOr<ModelOptions> WithLevels(ModelOptions options, std::span<const int64_t> levels,
                                        const Summary& summary,
                                        const std::vector<std::string>& names);

}  // namespace emserve

#endif  // EMSERVE_CORE_LEVELS_H_
