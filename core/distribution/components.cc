#include "core/distribution/components.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace emserve {

std::vector<char> FindEmpty(std::span<const double> occupancy, double least,
                            std::vector<Repair>& repairs) {
  std::vector<char> empty(occupancy.size());
  for (size_t k = 0; k < occupancy.size(); ++k) {
    empty[k] = !(occupancy[k] > least);
    if (!empty[k]) continue;
    repairs.push_back(
        {.reason = kComponentEmpty, .component = static_cast<int>(k), .amount = occupancy[k]});
  }
  return empty;
}

int64_t NumActive(const std::vector<bool>& active) {
  return std::count(active.begin(), active.end(), true);
}

int64_t NumFree(const Constraints& constraints, int64_t per_component,
                const std::vector<bool>& active) {
  if (constraints.empty()) return NumActive(active) * per_component;
  std::vector<char> counts(constraints.size());  // by leader
  for (int64_t e = 0; e < constraints.size(); ++e) {
    if (active[e / per_component] && !constraints.IsFixed(e)) counts[constraints.Leader(e)] = true;
  }
  return std::count(counts.begin(), counts.end(), true);
}

absl::Status CheckRidge(double ridge) {
  if (ridge >= 0 && ridge < 1) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("ridge: got ", ridge, ", must be in [0, 1)"));
}

}  // namespace emserve
