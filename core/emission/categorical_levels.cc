// Which codes a column has: from the options, and what they leave open from the data.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/emission/categorical.h"

namespace emserve {
namespace {

constexpr int64_t kMaxLevels = 1'000'000;
constexpr int64_t kLargestCode = int64_t{1} << 52;  // integers up to here and sums are exact

// An option with one value per column, from one that has as many, one for all, or none.
absl::Status Spread(const char* name, int64_t low, int64_t high, size_t num_columns,
                    std::vector<int64_t>& values) {
  if (values.size() > 1 && values.size() != num_columns) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": got ", values.size(),
                                                   " numbers, must be ", num_columns,
                                                   ", one per column, or 1 for all, or none"));
  }
  for (size_t c = 0; c < values.size(); ++c) {
    if (values[c] >= low && values[c] <= high) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(name, "[", c, "]: got ", values[c], ", must be ", low, " to ", high));
  }
  if (values.size() == 1) values.resize(num_columns, values[0]);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CategoricalOptions> ResolveCategorical(const CategoricalOptions& options,
                                                      const Summary& summary,
                                                      const std::vector<std::string>& names) {
  const size_t num_columns = summary.minimum.size();
  CategoricalOptions resolved = options;
  absl::Status status = Spread("first", -kLargestCode, kLargestCode, num_columns, resolved.first);
  if (!status.ok()) return status;
  status = Spread("num_levels", 1, kMaxLevels, num_columns, resolved.num_levels);
  if (!status.ok()) return status;
  const bool find_first = resolved.first.empty();
  const bool find_levels = resolved.num_levels.empty();
  resolved.first.resize(num_columns);
  resolved.num_levels.resize(num_columns);
  for (size_t c = 0; c < num_columns; ++c) {
    const double low = summary.minimum[c];
    const double high = summary.maximum[c];
    const auto bad = [&](auto... what) {
      return absl::FailedPreconditionError(absl::StrCat("columns[", names[c], "]: got ", what...));
    };
    if (!(low <= high)) {  // no cell at all
      if (!find_first && !find_levels) continue;
      return bad("no observed cell, must have at least one; give first and num_levels, or leave ",
                 "the column out");
    }
    for (const double code : {low, high}) {
      if (!(std::abs(code) <= static_cast<double>(kLargestCode)) || std::floor(code) != code) {
        return bad("a cell of ", code, ", must be a category code, a whole number of at most 2^52");
      }
    }
    if (find_first) resolved.first[c] = static_cast<int64_t>(low);
    const int64_t needed = static_cast<int64_t>(high) - resolved.first[c] + 1;
    if (find_levels && needed > kMaxLevels) {
      return bad("codes from ", resolved.first[c], " to ", high, ", must be at most ", kMaxLevels,
                 " levels; number the categories without gaps, or leave the column out");
    }
    if (find_levels) resolved.num_levels[c] = needed;
    if (!(low >= static_cast<double>(resolved.first[c]) && needed <= resolved.num_levels[c])) {
      return bad("codes from ", low, " to ", high, ", must be ", resolved.first[c], " to ",
                 resolved.first[c] + std::max<int64_t>(resolved.num_levels[c], 1) - 1,
                 "; change first or num_levels");
    }
  }
  return resolved;
}

}  // namespace emserve
