#include "core/em/simplex_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/simplex.h"

namespace emserve {

SimplexRows::SimplexRows(std::string name, int num_rows, int64_t size, double concentration)
    : name_(std::move(name)),
      num_rows_(num_rows),
      size_(size),
      concentration_(concentration),
      none_(size) {}

SimplexRows SimplexRows::Vector(std::string name, int64_t size, double concentration) {
  SimplexRows vector(std::move(name), 1, size, concentration);
  vector.is_vector_ = true;
  return vector;
}

std::string SimplexRows::Element(int64_t i) const {
  if (is_vector_) return absl::StrCat(name_, "[", i, "]");
  return absl::StrCat(name_, "[", i / size_, ", ", i % size_, "]");
}

std::string SimplexRows::Row(int row) const {
  return is_vector_ ? name_ : absl::StrCat(name_, "[", row, "]");
}

template <typename Body>
void SimplexRows::ForEachFree(const Joined& joined, Body body) const {
  for (size_t j = 0; j < joined.group.size(); ++j) {
    const auto l = static_cast<int64_t>(j);
    if (joined.group[j] != kFixed) {
      body(joined.rows[l / size_] * size_ + l % size_, joined.group[j]);
    }
  }
}

absl::Status SimplexRows::Constrain(const Constraints& constraints) {
  if (constraints.empty()) return absl::OkStatus();
  std::vector<int> source(num_rows_);
  std::vector<int> cluster(num_rows_);  // the first of the rows that ties join, also over others
  std::vector<char> mixed(num_rows_);   // of clusters: not rows that are the same as wholes
  std::vector<Constraints> of_rows;
  for (int row = 0; row < num_rows_; ++row) {
    const int64_t begin = row * size_;
    source[row] = cluster[row] = row;
    for (int64_t i = begin; i < begin + size_; ++i) {
      const auto other = static_cast<int>(constraints.Leader(i) / size_);
      if (other == row) continue;
      if (source[row] == row) source[row] = other;
      const int from = std::max(cluster[row], cluster[other]);
      const int to = std::min(cluster[row], cluster[other]);
      if (from != to) std::replace(cluster.begin(), cluster.end(), from, to);
    }
    of_rows.push_back(constraints.Slice(source[row] * size_, size_));
    if (absl::Status status = ValidateSimplexConstraints(Row(row), constraints.Slice(begin, size_));
        !status.ok()) {
      return status;
    }
  }
  for (int row = 0; row < num_rows_; ++row) {
    // The same groups and values as the source's, element by element.
    const int64_t begin = row * size_;
    const int64_t back = begin - source[row] * size_;
    for (int64_t i = begin; i < begin + size_ && back > 0; ++i) {
      const bool same =
          constraints.IsFixed(i)
              ? constraints.IsFixed(i - back) && constraints.value(i) == constraints.value(i - back)
              : constraints.Leader(i) == constraints.Leader(i - back);
      if (!same) mixed[cluster[row]] = true;
    }
  }
  for (int first = 0; first < num_rows_; ++first) {
    if (!mixed[first]) continue;
    std::vector<int> rows;
    for (int row = first; row < num_rows_; ++row) {
      if (cluster[row] != first) continue;
      rows.push_back(row);
      source[row] = kJoined;
      of_rows[row] = constraints.Slice(row * size_, size_);
    }
    if (absl::Status status = Join(constraints, std::move(rows)); !status.ok()) return status;
  }
  source_ = std::move(source);
  of_rows_ = std::move(of_rows);
  return absl::OkStatus();
}

absl::Status SimplexRows::Join(const Constraints& constraints, std::vector<int> rows) {
  constexpr double kLeastMass = 1e-12;
  std::vector<double> masses(rows.size(), 1.0);
  std::vector<int> group;
  std::vector<int64_t> first;
  std::vector<int> of_leader(constraints.size(), kFixed);
  std::vector<std::vector<TiedRows::Member>> groups;
  bool feasible = true;
  for (size_t r = 0; r < rows.size(); ++r) {
    for (int64_t i = rows[r] * size_; i < (rows[r] + 1) * size_; ++i) {
      int& mine = of_leader[constraints.Leader(i)];
      if (constraints.IsFixed(i)) {
        masses[r] -= constraints.value(i);
      } else {
        if (mine == kFixed) {
          mine = static_cast<int>(groups.size());
          groups.emplace_back();
          first.push_back(i);
        }
        std::vector<TiedRows::Member>& members = groups[mine];
        const auto row = static_cast<int>(r);
        if (members.empty() || members.back().row != row) members.push_back({row, 0});
        ++members.back().times;
      }
      group.push_back(mine);
    }
    feasible = feasible && masses[r] > kLeastMass;
  }
  std::optional<TiedRows> values;
  if (feasible) values = TiedRows::Make(std::move(groups), masses, kSimplexTolerance);
  if (!values) {
    return absl::InvalidArgumentError(absl::StrCat(
        "constraints: got ties that join ", Row(rows[0]), " with ", Row(rows[1]),
        rows.size() > 2 ? absl::StrCat(" and ", rows.size() - 2, " more") : "",
        " and contradict each other, must leave positive probabilities that sum to 1 in each"));
  }
  joined_.push_back({.rows = std::move(rows),
                     .group = std::move(group),
                     .first = std::move(first),
                     .values = *std::move(values)});
  return absl::OkStatus();
}

int64_t SimplexRows::num_free() const { return num_free(std::vector<bool>(num_rows_, true)); }

int64_t SimplexRows::num_free(const std::vector<bool>& active) const {
  std::vector<char> counts(num_rows_);  // by source
  for (int row = 0; row < num_rows_; ++row) {
    if (active[row] && Source(row) != kJoined) counts[Source(row)] = true;
  }
  int64_t sum = 0;
  for (int row = 0; row < num_rows_; ++row) {
    if (counts[row]) sum += SimplexParameters(size_, OfRow(row));
  }
  for (const Joined& joined : joined_) {
    std::vector<bool> of_rows;
    for (const int row : joined.rows) of_rows.push_back(active[row]);
    sum += joined.values.num_free(of_rows);
  }
  return sum;
}

absl::Status SimplexRows::Validate(std::span<const double> probabilities) const {
  for (int row = 0; row < num_rows_; ++row) {
    double sum = 0;
    for (int64_t i = row * size_; i < (row + 1) * size_; ++i) {
      const double p = probabilities[i];
      if (!(p >= 0 && p <= 1 + kSimplexTolerance)) {
        return absl::InvalidArgumentError(
            absl::StrCat(Element(i), ": got ", p, ", must be in [0, 1]"));
      }
      const int64_t l = i - row * size_;
      if (OfRow(row).IsFixed(l)) {
        const double value = OfRow(row).value(l);
        if (!(std::abs(p - value) <= kSimplexTolerance)) {
          return absl::InvalidArgumentError(
              absl::StrCat(Element(i), ": got ", p, ", must be ", value, ", to which it is fixed"));
        }
      } else if (concentration_ > 1 && p == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat(Element(i), ": got 0, must be positive with a concentration of ",
                         concentration_, "; set a concentration of 1, or a small probability"));
      }
      sum += p;
    }
    if (!(std::abs(sum - 1) <= kSimplexTolerance)) {
      return absl::InvalidArgumentError(
          absl::StrCat(Row(row), ": got a sum of ", sum, ", must be 1 within ", kSimplexTolerance));
    }
  }
  absl::Status status;
  for (const Joined& joined : joined_) {
    ForEachFree(joined, [&](int64_t i, int group) {
      const double value = probabilities[joined.first[group]];
      if (std::abs(probabilities[i] - value) <= kSimplexTolerance || !status.ok()) return;
      status = absl::InvalidArgumentError(
          absl::StrCat(Element(i), ": got ", probabilities[i], ", must be ", value, ", that of ",
                       Element(joined.first[group]), ", to which it is tied"));
    });
  }
  return status;
}

void SimplexRows::SetUniform(std::span<double> probabilities) const {
  const std::vector<double> even(size_, 1.0 / static_cast<double>(size_));
  for (int row = 0; row < num_rows_; ++row) {
    if (Source(row) == kJoined) continue;
    MaximizeSimplex(even, OfRow(row), even, probabilities.subspan(row * size_, size_));
  }
  for (const Joined& joined : joined_) {
    for (const int row : joined.rows) OfRow(row).Apply(probabilities.subspan(row * size_, size_));
    ForEachFree(joined,
                [&](int64_t i, int group) { probabilities[i] = joined.values.even()[group]; });
  }
}

absl::Status SimplexRows::MaximizeJoined(const Joined& joined, std::span<const double> sums,
                                         std::span<const double> now, std::span<double> next,
                                         const std::stop_token& stop) const {
  std::vector<double> best(sums.size());
  if (absl::Status status = joined.values.Maximize(sums, now, best, stop); !status.ok()) {
    return status;
  }
  for (const int row : joined.rows) OfRow(row).Apply(next.subspan(row * size_, size_));
  ForEachFree(joined, [&](int64_t i, int group) { next[i] = best[group]; });
  return absl::OkStatus();
}

absl::Status SimplexRows::Maximize(std::span<const double> counts, std::span<const char> keep,
                                   std::span<const double> now, std::span<double> next,
                                   const std::stop_token& stop) const {
  std::vector<double> pooled(size_);
  for (int row = 0; row < num_rows_; ++row) {
    const std::span<double> mine = next.subspan(row * size_, size_);
    if (Source(row) == kJoined) continue;
    if (Source(row) != row) {
      std::copy_n(next.begin() + Source(row) * size_, size_, mine.begin());
      continue;
    }
    std::fill(pooled.begin(), pooled.end(), 0.0);
    bool moves = false;
    for (int other = row; other < num_rows_; ++other) {
      if (Source(other) != row) continue;
      moves = moves || !keep[other];
      for (int64_t l = 0; l < size_; ++l) {
        pooled[l] += counts[other * size_ + l] + (concentration_ - 1);
      }
      if (source_.empty()) break;
    }
    const std::span<const double> mine_now = now.subspan(row * size_, size_);
    if (!moves) std::fill(pooled.begin(), pooled.end(), 0.0);
    MaximizeSimplex(pooled, OfRow(row), mine_now, mine);
  }
  for (const Joined& joined : joined_) {
    const bool moves =
        std::any_of(joined.rows.begin(), joined.rows.end(), [&](int row) { return !keep[row]; });
    std::vector<double> sums(joined.first.size());
    std::vector<double> values(joined.first.size());
    ForEachFree(joined, [&](int64_t i, int group) {
      if (moves) sums[group] += counts[i] + (concentration_ - 1);
      values[group] = now[joined.first[group]];
    });
    if (absl::Status status = MaximizeJoined(joined, sums, values, next, stop); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

double SimplexRows::LogPrior(std::span<const double> probabilities) const {
  if (concentration_ == 1) return 0;
  double sum = 0;
  for (int row = 0; row < num_rows_; ++row) {
    const Constraints& constraints = OfRow(row);
    for (int64_t l = 0; l < size_; ++l) {
      if (!constraints.IsFixed(l)) sum += std::log(probabilities[row * size_ + l]);
    }
  }
  return (concentration_ - 1) * sum;
}

void SimplexRows::ToCoordinates(std::span<const double> probabilities,
                                std::span<double> coordinates) const {
  SimplexToCoordinates(probabilities, coordinates);
}

void SimplexRows::FromCoordinates(std::span<const double> coordinates,
                                  std::span<double> probabilities) const {
  for (int row = 0; row < num_rows_; ++row) {
    if (Source(row) == kJoined) continue;
    SimplexFromCoordinates(coordinates.subspan(row * size_, size_), OfRow(row),
                           probabilities.subspan(row * size_, size_));
  }
  for (const Joined& joined : joined_) {
    double largest = std::numeric_limits<double>::lowest();
    ForEachFree(joined, [&](int64_t i, int) { largest = std::max(largest, coordinates[i]); });
    std::vector<double> sums(joined.first.size());
    ForEachFree(joined,
                [&](int64_t i, int group) { sums[group] += std::exp(coordinates[i] - largest); });
    // Nobody stops it.
    MaximizeJoined(joined, sums, joined.values.even(), probabilities, {}).IgnoreError();
  }
}

}  // namespace emserve
