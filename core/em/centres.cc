#include "core/em/centres.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <numeric>

#include "core/em/agglomerate.h"
#include "core/em/scratch.h"
#include "core/numerics/cholesky.h"

namespace emserve {
namespace {

constexpr int kMaxLloyd = 50;
constexpr int kMaxSpheredColumns = 256;
constexpr double kSphereRidge = 1e-6;  // of a correlation matrix

// Puts at place k of `centres` the nearest one to row labelled[k] of those that no label has
// claimed before.
void ClaimCentres(const Block& rows, std::span<const int> labelled, std::vector<double>& centres) {
  const auto num_columns = static_cast<size_t>(rows.num_columns);
  std::vector<char> claimed(labelled.size());
  for (size_t k = 0; k < labelled.size(); ++k) {
    if (labelled[k] < 0) continue;
    double least = std::numeric_limits<double>::infinity();
    size_t nearest = k;
    for (size_t j = 0; j < labelled.size(); ++j) {
      if (claimed[j]) continue;
      double squares = 0;
      for (size_t c = 0; c < num_columns; ++c) {
        const double z =
            rows.column(static_cast<int>(c))[labelled[k]] - centres[j * num_columns + c];
        squares += z * z;
      }
      if (squares < least) {
        least = squares;
        nearest = j;
      }
    }
    const auto at = [&](size_t j) {
      return centres.begin() + static_cast<std::ptrdiff_t>(j * num_columns);
    };
    if (nearest != k) std::swap_ranges(at(k), at(k + 1), at(nearest));
    claimed[k] = true;
  }
}

}  // namespace

void MoveCentres(const Sample& sample, const std::stop_token& stop,
                 absl::FunctionRef<bool()> time_is_up, std::vector<double>& centres) {
  const Block& rows = sample.block();
  const int num_columns = sample.num_columns();
  const auto num_seeds = static_cast<int>(centres.size() / num_columns);
  Scratch distance(rows.stride);
  std::vector<double> nearest(rows.num_rows);
  std::vector<int> label(rows.num_rows, -1);
  std::vector<int> old_label;
  for (int sweep = 0; sweep < kMaxLloyd && !time_is_up(); ++sweep) {
    old_label = label;
    std::fill(nearest.begin(), nearest.end(), std::numeric_limits<double>::infinity());
    for (int k = 0; k < num_seeds; ++k) {
      if (stop.stop_requested()) return;
      sample.Squares(rows, centres.data() + static_cast<int64_t>(k) * num_columns, distance.data());
      for (int i = 0; i < rows.num_rows; ++i) {
        if (!(distance[i] < nearest[i])) continue;
        nearest[i] = distance[i];
        label[i] = k;
      }
    }
    if (label == old_label) break;
    std::vector<double> weight(num_seeds);
    std::vector<double> sum(centres.size());
    for (int i = 0; i < rows.num_rows; ++i) weight[label[i]] += rows.weights[i];
    for (int c = 0; c < num_columns; ++c) {
      for (int i = 0; i < rows.num_rows; ++i) {
        sum[static_cast<int64_t>(label[i]) * num_columns + c] +=
            rows.weights[i] * rows.column(c)[i];
      }
    }
    for (size_t j = 0; j < centres.size(); ++j) {
      if (weight[j / num_columns] > 0) centres[j] = sum[j] / weight[j / num_columns];
    }
  }
}

std::vector<double> WardCentres(const Sample& sample, std::span<const int> labelled,
                                const std::stop_token& stop) {
  const Block& rows = sample.block();
  const int num_columns = sample.num_columns();
  const auto num_seeds = static_cast<int>(labelled.size());
  const int64_t num_rows = std::min<int64_t>(rows.num_rows, kMaxAgglomerated);
  const int stride = PaddedRows(static_cast<int>(num_rows));
  Scratch values(static_cast<int64_t>(num_columns) * stride);
  Scratch weights(stride);
  std::vector<int64_t> chosen(num_rows);
  for (int64_t i = 0; i < num_rows; ++i) {
    chosen[i] = i * rows.num_rows / num_rows;
    weights[i] = rows.weights[chosen[i]];
  }
  std::vector<double> whitening;
  if (num_columns <= kMaxSpheredColumns) {
    const auto square = static_cast<size_t>(num_columns) * num_columns;
    std::vector<double> correlation(square);
    whitening.resize(square);
    double total = 0;
    for (int64_t i = 0; i < num_rows; ++i) total += weights[i];
    for (int a = 0; a < num_columns; ++a) {
      for (int b = 0; b <= a; ++b) {
        double sum = 0;
        for (int64_t i = 0; i < num_rows; ++i) {
          sum += weights[i] * rows.column(a)[chosen[i]] * rows.column(b)[chosen[i]];
        }
        correlation[a * num_columns + b] = correlation[b * num_columns + a] = sum / total;
      }
      correlation[a * (num_columns + 1)] += kSphereRidge;
    }
    if (!InverseCholesky(correlation, num_columns, whitening)) whitening.clear();
  }
  for (int a = 0; a < num_columns; ++a) {
    double* const to = values.data() + static_cast<int64_t>(a) * stride;
    for (int64_t i = 0; i < num_rows; ++i) {
      if (whitening.empty()) {
        to[i] = rows.column(a)[chosen[i]];
        continue;
      }
      for (int b = 0; b <= a; ++b) {
        to[i] += whitening[a * num_columns + b] * rows.column(b)[chosen[i]];
      }
    }
  }
  const std::vector<int> labels = Agglomerate({.num_rows = static_cast<int>(num_rows),
                                               .stride = stride,
                                               .num_columns = num_columns,
                                               .values = values.data(),
                                               .weights = weights.data()},
                                              num_seeds, stop);
  std::vector<double> centres(static_cast<size_t>(num_seeds) * num_columns);
  std::vector<double> weight(num_seeds);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    weight[labels[i]] += weights[static_cast<int64_t>(i)];
    const double share = weights[static_cast<int64_t>(i)] / weight[labels[i]];
    for (int c = 0; c < num_columns; ++c) {
      double& centre = centres[static_cast<size_t>(labels[i]) * num_columns + c];
      centre += share * (rows.column(c)[chosen[i]] - centre);
    }
  }
  ClaimCentres(rows, labelled, centres);
  return centres;
}

}  // namespace emserve
