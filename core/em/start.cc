#include "core/em/start.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/scratch.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

constexpr int64_t kSampleRows = 16384;
constexpr int64_t kSampleRowsPerComponent = 128;
constexpr int64_t kSampleDoubles = int64_t{1} << 22;

// Share of a row that is spread evenly over all components, by restart. Among nine schedules this
// one reached the best optima of R mclust's examples most often with ten restarts.
double Softness(int restart) { return 0.1 * (restart % 3); }

int64_t SampleSize(int64_t num_components, int64_t num_columns) {
  return std::max(kSampleRowsPerComponent * num_components,
                  std::min(kSampleRows, kSampleDoubles / num_columns));
}

// The rows that take part in the choice of seeds, in order.
std::vector<int64_t> SampleRows(const Table& table, const Summary& summary, int64_t size,
                                Random& random) {
  const int64_t available = summary.num_weighted_rows;
  const bool skips = available < table.num_rows();  // rows without weight
  std::vector<int64_t> rows;
  rows.reserve(std::min(size, available));
  int64_t row = -1;
  int64_t rank = -1;  // of `row` among the rows with weight
  for (int64_t j = 0; j < std::min(size, available); ++j) {
    int64_t wanted = j;
    if (available > size) {
      const double stretch = static_cast<double>(available) / static_cast<double>(size);
      const int64_t begin = static_cast<int64_t>(static_cast<double>(j) * stretch);
      const int64_t end = static_cast<int64_t>(static_cast<double>(j + 1) * stretch);
      wanted = begin + static_cast<int64_t>(random.Below(std::max<int64_t>(end - begin, 1)));
    }
    if (!skips) {
      row = wanted;
    } else {
      while (rank < wanted) rank += table.weight(++row) > 0;
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

Starts::Starts(const Model& model, const Table& table, const Summary& summary, StartMethod method,
               uint64_t seed, std::stop_token stop)
    : model_(model),
      summary_(summary),
      method_(method),
      seed_(seed),
      stop_(std::move(stop)),
      num_columns_(table.num_columns()),
      inverse_sd_(num_columns_),
      unit_(num_columns_, 1.0),
      sample_buffer_(1, 1) {
  for (int c = 0; c < num_columns_; ++c) {
    const double sd = std::sqrt(summary.variance[c]);
    inverse_sd_[c] = sd > 0 && std::isfinite(1 / sd) ? 1 / sd : 0;
  }
  Random random(seed, std::numeric_limits<uint64_t>::max());  // no restart's stream
  const std::vector<int64_t> rows =
      SampleRows(table, summary, SampleSize(model.num_components(), num_columns_), random);
  const int num_rows = static_cast<int>(rows.size());
  sample_buffer_ = BlockBuffer(num_rows, num_columns_);
  sample_ = {.num_rows = num_rows,
             .stride = PaddedRows(num_rows),
             .num_columns = num_columns_,
             .values = sample_buffer_.values(),
             .weights = sample_buffer_.weights()};
  std::fill_n(sample_buffer_.values(), static_cast<int64_t>(num_columns_) * sample_.stride, 0.0);
  std::fill_n(sample_buffer_.weights(), sample_.stride, 0.0);
  for (int i = 0; i < num_rows; ++i) {
    // Relative, so that no sum of weighted distances overflows or vanishes.
    sample_buffer_.weights()[i] = table.weight(rows[i]) / summary.mean_weight();
    for (int c = 0; c < num_columns_; ++c) {
      sample_buffer_.values()[static_cast<int64_t>(c) * sample_.stride + i] =
          (table.value(rows[i], c) - summary.mean[c]) * inverse_sd_[c];
    }
  }
}

// Rows of the sample. Greedy k-means++: each seed is the best of 2 + log K rows drawn by weight
// times squared distance to the nearest seed so far. Random rows: one, drawn by weight among those
// that are not seeds yet.
absl::StatusOr<std::vector<int>> Starts::DrawSeeds(Random& random,
                                                   absl::FunctionRef<bool()> time_is_up) const {
  const int num_components = model_.num_components();
  const bool greedy = method_ == StartMethod::kKMeansPlusPlus;
  const int num_candidates = greedy ? 2 + static_cast<int>(std::log(num_components)) : 1;
  std::vector<int> seeds;
  Scratch nearest(sample_.stride);
  Scratch best(sample_.stride);
  Scratch distance(sample_.stride);
  std::fill_n(nearest.data(), sample_.stride, std::numeric_limits<double>::infinity());
  std::vector<double> cumulative(sample_.num_rows);
  std::vector<double> centre(num_columns_);

  for (int k = 0; k < num_components; ++k) {
    double total = 0;
    for (int i = 0; i < sample_.num_rows; ++i) {
      if (nearest[i] > 0) total += sample_.weights[i] * (greedy && k > 0 ? nearest[i] : 1);
      cumulative[i] = total;
    }
    if (!(total > 0)) return TooFewRows(seeds.size());
    int chosen = -1;
    double best_potential = std::numeric_limits<double>::infinity();
    for (int candidate = 0; candidate < (k == 0 ? 1 : num_candidates); ++candidate) {
      if (stop_.stop_requested()) return absl::CancelledError("stop was requested");
      if (time_is_up()) {
        if (absl::Status status = AddRandomSeeds(random, seeds); !status.ok()) return status;
        return seeds;
      }
      const double u = random.Uniform() * total;
      const int row = static_cast<int>(
          std::upper_bound(cumulative.begin(), cumulative.end() - 1, u) - cumulative.begin());
      for (int c = 0; c < num_columns_; ++c) centre[c] = sample_.column(c)[row];
      DiagonalSquares(sample_.values, sample_.stride, num_columns_, centre.data(), unit_.data(),
                      distance.data());
      double potential = 0;
      for (int i = 0; i < sample_.num_rows; ++i) {
        distance[i] = std::min(distance[i], nearest[i]);
        potential += sample_.weights[i] * distance[i];
      }
      if (potential < best_potential) {
        best_potential = potential;
        chosen = row;
        std::swap(best, distance);
      }
    }
    std::swap(nearest, best);
    seeds.push_back(chosen);
  }
  return seeds;
}

// Completes `seeds` by distinct rows of the sample, each as likely as another. O(sample + K log K x
// columns): no distances.
absl::Status Starts::AddRandomSeeds(Random& random, std::vector<int>& seeds) const {
  const auto before = [this](int a, int b) {
    for (int c = 0; c < num_columns_; ++c) {
      const double* const column = sample_.column(c);
      if (column[a] != column[b]) return column[a] < column[b];
    }
    return false;
  };
  std::set<int, decltype(before)> distinct(seeds.begin(), seeds.end(), before);
  std::vector<int> rows(sample_.num_rows);
  std::iota(rows.begin(), rows.end(), 0);
  for (size_t i = 0; i < rows.size() && std::ssize(seeds) < model_.num_components(); ++i) {
    std::swap(rows[i], rows[i + random.Below(rows.size() - i)]);
    if (distinct.insert(rows[i]).second) seeds.push_back(rows[i]);
  }
  if (std::ssize(seeds) < model_.num_components()) return TooFewRows(seeds.size());
  return absl::OkStatus();
}

absl::Status Starts::TooFewRows(size_t distinct) const {
  return absl::FailedPreconditionError(absl::StrCat(
      "num_components: got ", model_.num_components(), ", must be at most ", distinct,
      ", the number of rows", sample_.num_rows < summary_.num_weighted_rows ? " sampled" : "",
      " that can be told apart after scaling by the columns' standard deviations; use fewer "
      "components, or remove outliers if the rows differ"));
}

absl::Status Starts::Draw(int restart, absl::FunctionRef<bool()> time_is_up,
                          Expectation& expectation, std::span<double> theta,
                          std::vector<Repair>& repairs) const {
  Random random(seed_, static_cast<uint64_t>(restart));
  const absl::StatusOr<std::vector<int>> rows = DrawSeeds(random, time_is_up);
  if (!rows.ok()) return rows.status();
  std::vector<double> seeds;  // [K, columns]
  for (const int row : *rows) {
    for (int c = 0; c < num_columns_; ++c) {
      const double sd = inverse_sd_[c] > 0 ? 1 / inverse_sd_[c] : 0;
      seeds.push_back(summary_.mean[c] + sample_.column(c)[row] * sd);
    }
  }
  const int num_components = model_.num_components();
  const double share = Softness(restart) / num_components;
  const double rest = 1 - Softness(restart);
  std::vector<double> reference(theta.size());
  model_.Reference(summary_, reference);

  absl::Status status = expectation.RunGiven(
      reference, [&](const Block& block, std::span<double> scratch, std::span<double> posterior) {
        double* const distance = scratch.data();
        double* const nearest = scratch.data() + block.stride;
        std::fill_n(nearest, block.stride, std::numeric_limits<double>::infinity());
        for (int k = 0; k < num_components; ++k) {
          DiagonalSquares(block.values, block.stride, num_columns_,
                          seeds.data() + static_cast<int64_t>(k) * num_columns_, inverse_sd_.data(),
                          distance);
          // posterior(0, i) holds the label until all seeds have been seen. No branch, so that the
          // compiler makes vectors of it.
          double* const label = posterior.data();
          for (int i = 0; i < block.num_rows; ++i) {
            const bool closer = distance[i] < nearest[i];
            nearest[i] = closer ? distance[i] : nearest[i];
            label[i] = closer ? k : label[i];
          }
        }
        for (int k = 1; k < num_components && share > 0; ++k) {
          std::fill_n(posterior.begin() + static_cast<int64_t>(k) * block.stride, block.num_rows,
                      share);
        }
        for (int i = 0; i < block.num_rows; ++i) {
          const int label = static_cast<int>(posterior[i]);
          posterior[i] = share;
          posterior[static_cast<int64_t>(label) * block.stride + i] = share + rest;
        }
      });
  if (!status.ok()) return status;
  return model_.MStep(reference, expectation.statistics(), theta, {repairs, stop_});
}

}  // namespace emserve
