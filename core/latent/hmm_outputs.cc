#include "core/latent/hmm_outputs.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/em/scratch.h"
#include "core/numerics/normal_quantile.h"

namespace emserve {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void FollowBestPath(HmmBlock& rows, const RowOutputs& outputs) {
  rows.FindPath();
  for (int t = 0; t < rows.block().num_rows; ++t) {
    outputs.path[t] = rows.work().hidden[t] / rows.plain().max_duration;
    outputs.path_log_density[t] = rows.work().normaliser[t];
  }
}

// Filtered probabilities [rows, M] times `ahead` [M, K].
void Forecast(const HmmBlock& rows, const double* ahead, std::span<double> forecast) {
  const Block& block = rows.block();
  const int num_states = rows.plain().num_states;
  const int size = rows.plain().num_hidden();
  std::fill(forecast.begin(), forecast.end(), 0.0);
  for (int t = 0; t < block.num_rows; ++t) {
    for (int h = 0; h < size; ++h) {
      const double p = rows.Filtered(static_cast<int64_t>(t) * size + h);
      if (p == 0) continue;
      const double* const from = ahead + static_cast<int64_t>(h) * num_states;
      for (int k = 0; k < num_states; ++k) {
        forecast[static_cast<size_t>(k) * block.stride + t] += p * from[k];
      }
    }
  }
}

// The cells of rows of which nothing but the probabilities of their states is known.
void ForecastCells(const HmmBlock& rows, std::span<const double> forecast, double* mean,
                   double* variance) {
  Block unseen = rows.block();
  Scratch cells(static_cast<int64_t>(unseen.num_columns) * unseen.stride);
  for (int c = 0; c < unseen.num_columns; ++c) {
    std::fill_n(cells.data() + static_cast<int64_t>(c) * unseen.stride, unseen.num_rows, kNaN);
  }
  unseen.values = cells.data();
  unseen.complete = false;
  rows.emission().Conditional(*rows.prepared().emission, unseen, forecast, *rows.work().emission,
                              mean, variance);
}

// z with P(Z <= z) = p = 1 - q, from the smaller of the two, which has all its digits.
double QuantileOf(double p, double q) { return p < q ? NormalQuantile(p) : -NormalQuantile(q); }

// Of cells whose rows' states have these probabilities [K x stride]. Discrete values stand for the
// middle of their step.
void Residuals(const HmmBlock& rows, std::span<const double> states, double* residual) {
  const Block& block = rows.block();
  const int64_t num_cells = static_cast<int64_t>(block.num_columns) * block.stride;
  Scratch below(num_cells);
  Scratch at(num_cells);
  Scratch above(num_cells);
  std::vector<double> left(num_cells);
  std::vector<double> right(num_cells);
  for (int k = 0; k < rows.plain().num_states; ++k) {
    const double* const share = states.data() + static_cast<size_t>(k) * block.stride;
    if (std::all_of(share, share + block.num_rows, [](double p) { return p == 0; })) continue;
    rows.emission().Cumulative(*rows.prepared().emission, block, k, *rows.work().emission,
                               below.data(), at.data(), above.data());
    for (int64_t j = 0; j < num_cells; ++j) {
      const double p = share[j % block.stride];
      if (p == 0) continue;
      left[j] += p * (below[j] + at[j] / 2);
      right[j] += p * (above[j] + at[j] / 2);
    }
  }
  for (int c = 0; c < block.num_columns; ++c) {
    const int64_t begin = static_cast<int64_t>(c) * block.stride;
    for (int64_t j = begin; j < begin + block.num_rows; ++j) {
      residual[j] = std::isnan(block.values[j]) ? kNaN : QuantileOf(left[j], right[j]);
    }
    std::fill_n(residual + begin + block.num_rows, block.stride - block.num_rows, 0.0);
  }
}

}  // namespace

void InferRows(HmmBlock& rows, const RowOutputs& outputs) {
  const Block& block = rows.block();
  rows.WeighRows(outputs.component_log_density);
  if (outputs.path != nullptr) {
    FollowBestPath(rows, outputs);
    return;
  }
  const bool conditional = outputs.conditional_mean != nullptr;
  const bool smoothed = outputs.posterior != nullptr || conditional;
  const bool forecast_cells = outputs.forecast_mean != nullptr;
  const bool forecast = outputs.forecast != nullptr || forecast_cells;
  const bool residuals = outputs.residual != nullptr || outputs.forecast_residual != nullptr;
  if (outputs.log_density == nullptr && outputs.filtered == nullptr && !smoothed && !forecast &&
      !residuals) {
    return;
  }
  rows.Filter();
  if (outputs.log_density != nullptr) {
    std::fill_n(outputs.log_density, block.stride, 0.0);
    for (int t = 0; t < block.num_rows; ++t) outputs.log_density[t] = rows.LogDensity(t);
  }
  // Probabilities of states, of one output after the other; log densities are no longer needed.
  const std::span<double> states = rows.ByState();
  if (outputs.filtered != nullptr) {
    rows.SumScores();
    rows.SpreadPosterior(std::span(outputs.filtered, states.size()));
  }
  if (forecast) {
    Forecast(rows, outputs.ahead, states);
    if (outputs.forecast != nullptr) std::copy(states.begin(), states.end(), outputs.forecast);
    if (forecast_cells) {
      ForecastCells(rows, states, outputs.forecast_mean, outputs.forecast_variance);
    }
  }
  if (outputs.forecast_residual != nullptr) {
    rows.PredictRows();
    rows.SpreadPosterior(states);
    Residuals(rows, states, outputs.forecast_residual);
  }
  // What may change the scores comes last.
  if (outputs.residual != nullptr) {
    rows.LeaveRowsOut();
    rows.SpreadPosterior(states);
    Residuals(rows, states, outputs.residual);
  }
  if (!smoothed) return;
  rows.Smooth(nullptr);
  rows.SpreadPosterior(states);
  if (outputs.posterior != nullptr) {
    std::copy(states.begin(), states.end(), outputs.posterior);
  }
  if (conditional) {
    rows.emission().Conditional(*rows.prepared().emission, block, states, *rows.work().emission,
                                outputs.conditional_mean, outputs.conditional_variance);
  }
}

}  // namespace emserve
