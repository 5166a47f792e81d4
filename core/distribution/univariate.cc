#include "core/distribution/univariate.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

// A column counts as constant when its standard deviation is less than this share of its values.
constexpr double kConstantRelative = 1e-15;

}  // namespace

void Univariate::Maximize(const CellStatistics& cell, std::span<double> params) const {
  std::copy(cell.old.begin(), cell.old.end(), params.begin());
  for (int p = 0; p < std::ssize(params); ++p) MaximizeOne(cell, p, params);
}

absl::Status GammaPrior::Check(const std::string& path) const {
  if (!(shape >= 1 && std::isfinite(shape))) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".shape: got ", shape, ", must be finite and at least 1"));
  }
  if (!(rate >= 0 && std::isfinite(rate))) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".rate: got ", rate, ", must be finite and 0 or more"));
  }
  if (shape > 1 && !(rate > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".rate: got ", rate, ", must be positive when the shape is above 1"));
  }
  return absl::OkStatus();
}

double GammaPrior::LogDensity(double x) const { return TimesLog(shape - 1, x) - rate * x; }

absl::Status CheckColumns(const Summary& summary, const std::vector<std::string>& names,
                          const Support& support) {
  for (size_t d = 0; d < summary.mean.size(); ++d) {
    // A summary of a table without missing cells has no shares.
    if (!(summary.minimum[d] <= summary.maximum[d])) {
      return absl::FailedPreconditionError(absl::StrCat(
          "columns[", names[d], "]: got no observed cell, must have some; leave the column out"));
    }
    for (const auto& [what, value] :
         {std::pair("minimum", summary.minimum[d]), std::pair("maximum", summary.maximum[d])}) {
      if (support.contains(value)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("columns[", names[d], "]: got a ", what, " of ", value, ", must be ",
                       support.what, "; leave the column out or use another emission for it"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckVaries(const Summary& summary, const std::vector<std::string>& names) {
  for (size_t d = 0; d < summary.mean.size(); ++d) {
    const double low = summary.minimum[d];
    const double high = summary.maximum[d];
    if (!(low < high)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "columns[", names[d], "]: got ", low, " in every row, must vary; leave the column out"));
    }
    // In units of the largest value, so that nothing underflows.
    if (!(std::sqrt(summary.variance[d]) / high > kConstantRelative)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "columns[", names[d], "]: got values of about ", summary.mean[d],
          " that vary by no more than their rounding, must vary by more; leave the column out"));
    }
  }
  return absl::OkStatus();
}

}  // namespace emserve
