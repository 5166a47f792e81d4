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
  std::vector<double> observed;  // [columns] weight of the observed cells
  std::vector<double> mean, scatter, minimum, maximum;
  bool complete = true;
  absl::Status error;

  explicit Moments(int columns)
      : observed(static_cast<size_t>(columns)),
        mean(observed.size()),
        scatter(observed.size()),
        minimum(observed.size(), std::numeric_limits<double>::infinity()),
        maximum(observed.size(), -std::numeric_limits<double>::infinity()) {}

  void Merge(const Moments& other) {
    weight += other.weight;
    num_weighted_rows += other.num_weighted_rows;
    complete = complete && other.complete;
    for (size_t c = 0; c < mean.size(); ++c) {
      if (other.observed[c] == 0) continue;
      const double total = observed[c] + other.observed[c];
      const double share = other.observed[c] / total;
      const double delta = other.mean[c] - mean[c];
      // From nothing the other's figures are taken over exactly; delta x share would round.
      mean[c] = observed[c] == 0 ? other.mean[c] : mean[c] + delta * share;
      scatter[c] += other.scatter[c] + delta * delta * observed[c] * share;
      minimum[c] = std::min(minimum[c], other.minimum[c]);
      maximum[c] = std::max(maximum[c], other.maximum[c]);
      observed[c] = total;
    }
  }
};

absl::Status CheckLabel(const Table& table, int64_t row) {
  const int num_components = table.label_components();
  if (table.label_column().has_value()) {
    const double label = table.raw_value(row, *table.label_column());
    if (!(label >= 0) || (label == std::floor(label) && label < num_components)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("data.labels[", row, "]: got ", label, ", must be a component, 0 to ",
                     num_components - 1, ", or negative or missing where it is unknown"));
  }
  bool plausible = false;
  for (int k = 0; k < num_components; ++k) {
    const double value = table.raw_value(row, table.plausibility_columns()[static_cast<size_t>(k)]);
    if (value < 0 || std::isinf(value)) {
      return absl::InvalidArgumentError(absl::StrCat("data.plausibilities[", row, ", ", k,
                                                     "]: got ", value,
                                                     ", must be finite and 0 or more"));
    }
    plausible = plausible || !(value <= 0);
  }
  if (plausible) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("data.plausibilities[", row,
                                                 "]: got 0 for every component, must be positive "
                                                 "for at least one"));
}

absl::Status Check(const Table& table, const Block& block) {
  for (int i = 0; i < block.num_rows; ++i) {
    const int64_t row = block.first_row + i;
    if (!(block.weights[i] >= 0) || !std::isfinite(block.weights[i])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "data.weights[", row, "]: got ", block.weights[i], ", must be finite and 0 or more"));
    }
    for (int c = 0; c < block.num_columns; ++c) {
      const double value = block.column(c)[i];
      if (std::isinf(value)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "data[", row, "]: got ", value, " in column '", table.names()[static_cast<size_t>(c)],
            "', must be finite, or NaN where it is missing; mend the cell or remove the row"));
      }
    }
    if (table.label_components() > 0) {
      if (absl::Status status = CheckLabel(table, row); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

// Two passes over a block in cache: mean, then scatter around it. A sequence's weight counts its
// rows.
void Measure(const Block& block, Moments& out) {
  const auto weight_of = [&block](int i) {
    return block.weights[i] * (block.sequence_weights == nullptr ? 1 : block.sequence_weights[i]);
  };
  out.weight = 0;
  out.num_weighted_rows = 0;
  out.complete = block.complete;
  for (int i = 0; i < block.num_rows; ++i) {
    out.weight += weight_of(i);
    out.num_weighted_rows += weight_of(i) > 0 ? 1 : 0;
  }
  for (int c = 0; c < block.num_columns; ++c) {
    const double* x = block.column(c);
    const auto counts = [&](int i) { return weight_of(i) > 0 && !std::isnan(x[i]); };
    const auto index = static_cast<size_t>(c);
    double weight = 0;
    double sum = 0;
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (int i = 0; i < block.num_rows; ++i) {
      if (!counts(i)) continue;
      weight += weight_of(i);
      sum += weight_of(i) * x[i];
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    out.observed[index] = weight;
    if (weight == 0) continue;
    // Within the range whatever the rounding, so that a constant column has exactly zero variance.
    const double mean = std::clamp(sum / weight, low, high);
    double scatter = 0;
    for (int i = 0; i < block.num_rows; ++i) {
      if (counts(i)) scatter += weight_of(i) * (x[i] - mean) * (x[i] - mean);
    }
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
    BlockBuffer buffer = table.MakeBuffer(partition.block_rows);
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
  const bool by_sequence = table.sequences() != nullptr && table.sequences()->weighted();
  if (!(all.weight > 0)) {
    if (!table.weighted() && !by_sequence) {
      return absl::InvalidArgumentError(
          "data: got no observed cell in the modelled columns, must be at least one");
    }
    if (!table.weighted()) {
      return absl::InvalidArgumentError(
          "sequences.weights: got 0 for every sequence with an observed cell, must be positive for "
          "at least one");
    }
    return absl::InvalidArgumentError(
        "data.weights: got 0 for every row with an observed cell, must be positive for at least "
        "one");
  }
  if (!std::isfinite(all.weight)) {
    return absl::InvalidArgumentError(
        absl::StrCat(by_sequence ? "sequences.weights: got weights" : "data.weights: got weights",
                     " with a sum over the rows that is not finite, must be smaller; divide them "
                     "by a constant"));
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
    if (all.observed[c] > 0) summary.variance[c] /= all.observed[c];
    if (!all.complete) {
      summary.observed.push_back(std::min(1.0, all.observed[c] / summary.total_weight));
    }
    if (!std::isfinite(summary.variance[c]) || !std::isfinite(summary.mean[c])) {
      return absl::InvalidArgumentError(
          absl::StrCat("data: the variance of column '", table.names()[c],
                       "' overflows; divide the column by a constant such as 1e100"));
    }
  }
  return summary;
}

}  // namespace emserve
