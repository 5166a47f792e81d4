#include "core/em/seeds.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/em/scratch.h"

namespace emserve {
namespace {

constexpr int kParallelRounds = 5;

}  // namespace

std::vector<int> Seeds::Labelled(Random& random) const {
  std::vector<int> seeds(num_seeds_, -1);
  if (table_.label_components() == 0) return seeds;
  std::vector<uint64_t> seen(num_seeds_);
  for (int i = 0; i < sample_.num_rows(); ++i) {
    const std::optional<int> component = table_.OnlyComponent(sample_.table_row(i));
    if (!component || *component >= num_seeds_) continue;
    // Each of those seen so far is as likely to be kept.
    if (random.Below(++seen[*component]) == 0) seeds[*component] = i;
  }
  return seeds;
}

absl::StatusOr<std::vector<int>> Seeds::Choose(const Block& rows, bool greedy,
                                               const std::vector<int>& labelled, Random& random,
                                               TimeIsUp time_is_up) const {
  const int num_candidates = greedy ? 2 + static_cast<int>(std::log(num_seeds_)) : 1;
  std::vector<int> seeds;
  bool first = true;  // no distance is known
  Scratch nearest(rows.stride);
  Scratch best(rows.stride);
  Scratch distance(rows.stride);
  std::fill_n(nearest.data(), rows.stride, std::numeric_limits<double>::infinity());
  std::vector<double> cumulative(rows.num_rows);
  std::vector<double> centre(num_columns_);

  const auto measure = [&](int row, double* to) {
    for (int c = 0; c < num_columns_; ++c) centre[c] = rows.column(c)[row];
    sample_.Squares(rows, centre.data(), to);
    double potential = 0;
    for (int i = 0; i < rows.num_rows; ++i) {
      to[i] = std::min(to[i], nearest[i]);
      potential += rows.weights[i] * to[i];
    }
    return potential;
  };
  for (const int row : labelled) {
    if (row < 0) continue;
    measure(row, distance.data());
    std::swap(nearest, distance);
    first = false;
  }
  for (int k = 0; k < num_seeds_; ++k) {
    if (labelled[k] >= 0) {
      seeds.push_back(labelled[k]);
      continue;
    }
    double total = 0;
    for (int i = 0; i < rows.num_rows; ++i) {
      if (nearest[i] > 0) total += rows.weights[i] * (greedy && !first ? nearest[i] : 1);
      cumulative[i] = total;
    }
    if (!(total > 0)) return TooFewRows(seeds.size());
    int chosen = -1;
    double best_potential = std::numeric_limits<double>::infinity();
    for (int candidate = 0; candidate < (first ? 1 : num_candidates); ++candidate) {
      if (stop_.stop_requested()) return absl::CancelledError("stop was requested");
      if (time_is_up()) {
        if (absl::Status status = AddRandom(rows, random, seeds); !status.ok()) return status;
        return seeds;
      }
      const double u = random.Uniform() * total;
      const int row = static_cast<int>(
          std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) - cumulative.begin());
      const double potential = measure(row, distance.data());
      if (chosen < 0 || potential < best_potential) {
        best_potential = potential;
        chosen = row;
        std::swap(best, distance);
      }
    }
    std::swap(nearest, best);
    first = false;
    seeds.push_back(chosen);
  }
  return seeds;
}

// Completes `seeds` by distinct rows of the sample, each as likely as another. O(sample + K log K x
// columns): no distances.
absl::Status Seeds::AddRandom(const Block& rows, Random& random, std::vector<int>& seeds) const {
  const auto before = [&](int a, int b) {
    for (int c = 0; c < num_columns_; ++c) {
      const double* const column = rows.column(c);
      if (column[a] != column[b]) return column[a] < column[b];
    }
    return false;
  };
  std::set<int, decltype(before)> distinct(seeds.begin(), seeds.end(), before);
  std::vector<int> order(rows.num_rows);
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = 0; i < order.size() && std::ssize(seeds) < num_seeds_; ++i) {
    std::swap(order[i], order[i + random.Below(order.size() - i)]);
    if (distinct.insert(order[i]).second) seeds.push_back(order[i]);
  }
  if (std::ssize(seeds) < num_seeds_) return TooFewRows(seeds.size());
  return absl::OkStatus();
}

absl::Status Seeds::TooFewRows(size_t distinct) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "num_components: got ", num_seeds_, ", must be at most ", distinct, ", the number of rows",
      sample_.whole() ? "" : " sampled",
      " that can be told apart after scaling by the columns' standard deviations; use fewer "
      "components, or remove outliers if the rows differ"));
}

absl::StatusOr<std::vector<int>> Seeds::Parallel(const std::vector<int>& labelled, Random& random,
                                                 TimeIsUp time_is_up) const {
  const Block& sample = sample_.block();
  std::vector<int> candidates;
  std::vector<int> nearest_candidate(sample.num_rows, 0);
  Scratch nearest(sample.stride);
  Scratch distance(sample.stride);
  std::vector<double> centre(num_columns_);
  std::fill_n(nearest.data(), sample.stride, std::numeric_limits<double>::infinity());
  const auto add = [&](int row) {
    for (int c = 0; c < num_columns_; ++c) centre[c] = sample.column(c)[row];
    sample_.Squares(sample, centre.data(), distance.data());
    for (int i = 0; i < sample.num_rows; ++i) {
      if (!(distance[i] < nearest[i])) continue;
      nearest[i] = distance[i];
      nearest_candidate[i] = static_cast<int>(candidates.size());
    }
    candidates.push_back(row);
  };
  for (const int row : labelled) {
    if (row >= 0) add(row);
  }
  if (candidates.empty()) add(static_cast<int>(random.Below(sample.num_rows)));
  for (int round = 0; round < kParallelRounds; ++round) {
    double potential = 0;
    for (int i = 0; i < sample.num_rows; ++i) potential += sample.weights[i] * nearest[i];
    if (!(potential > 0)) break;
    std::vector<int> drawn;
    for (int i = 0; i < sample.num_rows; ++i) {
      const double share = sample.weights[i] * nearest[i] / potential;
      if (random.Uniform() < 2.0 * num_seeds_ * share) drawn.push_back(i);
    }
    for (const int row : drawn) {
      if (stop_.stop_requested()) return absl::CancelledError("stop was requested");
      if (time_is_up()) break;
      if (nearest[row] > 0) add(row);
    }
  }
  // Too few to choose from: the sample itself has the answer, or the error.
  const auto num_candidates = static_cast<int>(candidates.size());
  if (num_candidates < num_seeds_) return Choose(sample, true, labelled, random, time_is_up);
  BlockBuffer buffer(num_candidates, num_columns_);
  const int stride = PaddedRows(num_candidates);
  std::fill_n(buffer.values(), static_cast<int64_t>(num_columns_) * stride, 0.0);
  std::fill_n(buffer.weights(), stride, 0.0);
  for (int i = 0; i < sample.num_rows; ++i) {
    buffer.weights()[nearest_candidate[i]] += sample.weights[i];
  }
  std::vector<int> labelled_candidates(num_seeds_, -1);
  for (int j = 0; j < num_candidates; ++j) {
    for (int c = 0; c < num_columns_; ++c) {
      buffer.values()[static_cast<int64_t>(c) * stride + j] = sample.column(c)[candidates[j]];
    }
    const auto known = std::find(labelled.begin(), labelled.end(), candidates[j]);
    if (known != labelled.end()) labelled_candidates[known - labelled.begin()] = j;
  }
  const Block rows{.num_rows = num_candidates,
                   .stride = stride,
                   .num_columns = num_columns_,
                   .values = buffer.values(),
                   .weights = buffer.weights()};
  absl::StatusOr<std::vector<int>> seeds =
      Choose(rows, true, labelled_candidates, random, time_is_up);
  if (!seeds.ok()) return seeds;
  for (int& seed : *seeds) seed = candidates[seed];
  return seeds;
}

}  // namespace emserve
