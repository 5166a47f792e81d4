#include "core/em/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/numerics/kernels.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

constexpr int64_t kSampleRows = 16384;
constexpr int64_t kSampleRowsPerComponent = 128;
constexpr int64_t kSampleDoubles = int64_t{1} << 22;

constexpr int64_t kRowsPerLook = 65536;  // at the stop token

int64_t SampleSize(int64_t num_components, int64_t num_columns) {
  return std::max(kSampleRowsPerComponent * num_components,
                  std::min(kSampleRows, kSampleDoubles / num_columns));
}

// The rows that take part in the choice of seeds, in order.
std::vector<int64_t> SampleRows(const Table& table, const Summary& summary, int64_t size,
                                Random& random, const std::stop_token& stop) {
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
      while (rank < wanted) {
        if (++row % kRowsPerLook == 0 && stop.stop_requested()) return rows;
        rank += table.EffectiveWeight(row) > 0;
      }
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

Sample::Sample(const Table& table, const Summary& summary, int num_seeds, bool own_units,
               uint64_t seed, const std::stop_token& stop)
    : inverse_sd_(table.num_columns()), unit_(table.num_columns(), 1.0), buffer_(1, 1) {
  const int num_columns = table.num_columns();
  const double largest = *std::max_element(summary.variance.begin(), summary.variance.end());
  for (int c = 0; c < num_columns; ++c) {
    const bool varies = summary.variance[c] > 0;
    const double sd = std::sqrt(own_units && varies ? largest : summary.variance[c]);
    inverse_sd_[c] = sd > 0 && std::isfinite(1 / sd) ? 1 / sd : 0;
  }
  Random random(seed, std::numeric_limits<uint64_t>::max());  // no restart's stream
  rows_ = SampleRows(table, summary, SampleSize(num_seeds, num_columns), random, stop);
  const int num_rows = static_cast<int>(rows_.size());
  whole_ = num_rows == summary.num_weighted_rows;
  buffer_ = BlockBuffer(num_rows, num_columns);
  block_ = {.num_rows = num_rows,
            .stride = PaddedRows(num_rows),
            .num_columns = num_columns,
            .values = buffer_.values(),
            .weights = buffer_.weights()};
  std::fill_n(buffer_.values(), static_cast<int64_t>(num_columns) * block_.stride, 0.0);
  std::fill_n(buffer_.weights(), block_.stride, 0.0);
  for (int i = 0; i < num_rows; ++i) {
    buffer_.weights()[i] = table.EffectiveWeight(rows_[i]) / summary.mean_weight();
    for (int c = 0; c < num_columns; ++c) {
      const double z = (table.value(rows_[i], c) - summary.mean[c]) * inverse_sd_[c];
      buffer_.values()[static_cast<int64_t>(c) * block_.stride + i] = std::isnan(z) ? 0 : z;
    }
  }
}

void Sample::Squares(const Block& rows, const double* centre, double* squares) const {
  DiagonalSquares(rows.values, rows.stride, rows.num_columns, centre, unit_.data(), squares);
  for (int i = 0; i < rows.num_rows; ++i) squares[i] = std::min(squares[i], kFarthest);
}

}  // namespace emserve
