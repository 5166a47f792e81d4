#include "core/data/summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace emserve {
namespace {

// Moments of a run of rows, merged with its right neighbour by the pairwise formulas of Chan, Golub
// & LeVeque (1979).
struct Moments {
  int64_t num_weighted_rows = 0;
  double weight = 0;
  std::vector<double> mean, scatter, minimum, maximum;
  absl::Status error;

  explicit Moments(int columns)
      : mean(static_cast<size_t>(columns)),
        scatter(mean.size()),
        minimum(mean.size(), std::numeric_limits<double>::infinity()),
        maximum(mean.size(), -std::numeric_limits<double>::infinity()) {}

  void Merge(const Moments& other) {
    if (other.weight == 0) return;
    const double total = weight + other.weight;
    const double share = other.weight / total;
    for (size_t c = 0; c < mean.size(); ++c) {
      const double delta = other.mean[c] - mean[c];
      // From nothing the other's figures are taken over exactly; delta x share would round.
      mean[c] = weight == 0 ? other.mean[c] : mean[c] + delta * share;
      scatter[c] += other.scatter[c] + delta * delta * weight * share;
      minimum[c] = std::min(minimum[c], other.minimum[c]);
      maximum[c] = std::max(maximum[c], other.maximum[c]);
    }
    weight = total;
    num_weighted_rows += other.num_weighted_rows;
  }
};

absl::Status Check(const Table& table, const Block& block) {
  for (int i = 0; i < block.num_rows; ++i) {
    const int64_t row = block.first_row + i;
    if (!(block.weights[i] >= 0) || !std::isfinite(block.weights[i])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data.weights[", row, "]: got ", block.weights[i], ", must be finite and 0 or more"));
    }
    for (int c = 0; c < block.num_columns; ++c) {
      const double value = block.column(c)[i];
      if (!std::isfinite(value)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "data[", row, "]: got ", value, " in column '", table.names()[static_cast<size_t>(c)],
            "', must be finite; remove the row or model other columns"));
      }
    }
  }
  return absl::OkStatus();
}

// Two passes over a block in cache: mean, then scatter around it.
void Measure(const Block& block, Moments& out) {
  out.weight = 0;
  out.num_weighted_rows = 0;
  for (int i = 0; i < block.num_rows; ++i) {
    out.weight += block.weights[i];
    out.num_weighted_rows += block.weights[i] > 0 ? 1 : 0;
  }
  if (out.weight == 0) return;
  for (int c = 0; c < block.num_columns; ++c) {
    const double* x = block.column(c);
    double sum = 0;
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (int i = 0; i < block.num_rows; ++i) {
      if (!(block.weights[i] > 0)) continue;
      sum += block.weights[i] * x[i];
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    // Within the range whatever the rounding, so that a constant column has exactly zero variance.
    const double mean = std::clamp(sum / out.weight, low, high);
    double scatter = 0;
    for (int i = 0; i < block.num_rows; ++i) {
      if (block.weights[i] > 0) scatter += block.weights[i] * (x[i] - mean) * (x[i] - mean);
    }
    const auto index = static_cast<size_t>(c);
    out.mean[index] = mean;
    out.scatter[index] = scatter;
    out.minimum[index] = low;
    out.maximum[index] = high;
  }
}

}  // namespace

absl::StatusOr<Summary> Summarize(const Table& table, Pool::Share& share, std::stop_token stop) {
  const int columns = table.num_columns();
  const Partition partition = Partition::Make(table.num_rows(), columns);
  std::vector<Moments> lanes(static_cast<size_t>(partition.num_lanes), Moments(columns));
  share.For(partition.num_lanes, [&](int64_t lane, int) {
    BlockBuffer buffer(partition.block_rows, columns);
    Moments of_block(columns);
    Moments& of_lane = lanes[static_cast<size_t>(lane)];
    const int64_t end = partition.first_block(static_cast<int>(lane) + 1);
    for (int64_t b = partition.first_block(static_cast<int>(lane));
         b < end && !stop.stop_requested(); ++b) {
      const Block block = table.Read(partition.first_row(b), partition.rows(b), buffer);
      of_lane.error = Check(table, block);
      if (!of_lane.error.ok()) return;
      Measure(block, of_block);
      of_lane.Merge(of_block);
    }
  });
  if (stop.stop_requested()) return absl::CancelledError("the fit was cancelled");

  Moments all(columns);
  for (const Moments& lane : lanes) {
    if (!lane.error.ok()) return lane.error;
    all.Merge(lane);
  }
  if (!(all.weight > 0)) {
    return absl::InvalidArgumentError(
        "data.weights: got 0 for every row, must be positive for at least one");
  }
  if (!std::isfinite(all.weight)) {
    return absl::InvalidArgumentError(
        "data.weights: their sum is not finite; divide them by a constant");
  }
  Summary summary;
  summary.num_rows = table.num_rows();
  summary.num_weighted_rows = all.num_weighted_rows;
  summary.total_weight = all.weight;
  summary.mean = std::move(all.mean);
  summary.minimum = std::move(all.minimum);
  summary.maximum = std::move(all.maximum);
  summary.variance = std::move(all.scatter);
  for (size_t c = 0; c < summary.variance.size(); ++c) {
    summary.variance[c] /= summary.total_weight;
    if (!std::isfinite(summary.variance[c]) || !std::isfinite(summary.mean[c])) {
      return absl::InvalidArgumentError(
          absl::StrCat("data: the variance of column '", table.names()[c],
                       "' overflows; divide the column by a constant such as 1e100"));
    }
  }
  return summary;
}

}  // namespace emserve
