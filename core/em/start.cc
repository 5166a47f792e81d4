#include "core/em/start.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/em/centres.h"
#include "core/em/lanes.h"
#include "core/numerics/kernels.h"

namespace emserve {
namespace {

// Share of a row that is spread evenly over all components, by restart. Among nine schedules this
// one reached the best optima of R mclust's examples most often with ten restarts.
double Softness(uint64_t restart, bool starts_hard) {
  const uint64_t step = restart % 3;
  return 0.1 * static_cast<double>(step == 0 && !starts_hard ? 3 : step);
}

// Of every row, of the components that no seed stands for.
constexpr double kNoiseShare = 0.05;

// Squared distances of the observed cells to `centre`, in units of inverse_sd.
void ObservedDistances(const Block& block, const double* centre, const double* inverse_sd,
                       double* distance) {
  if (block.complete) {
    DiagonalSquares(block.values, block.stride, block.num_columns, centre, inverse_sd, distance);
    return;
  }
  std::fill_n(distance, block.stride, 0.0);
  for (int c = 0; c < block.num_columns; ++c) {
    const double* const x = block.column(c);
    for (int i = 0; i < block.num_rows; ++i) {
      const double z = (x[i] - centre[c]) * inverse_sd[c];
      distance[i] += std::isnan(z) ? 0 : z * z;
    }
  }
}

double Exponential(Random& random) { return -std::log1p(-random.Uniform()); }

// Writes the shares of what `draw` returns, once per component, as row i of `posterior` [components
// x stride]. Of exponential draws they are uniform on the simplex.
void DrawShares(absl::FunctionRef<double()> draw, int num_components, int i, int stride,
                std::span<double> posterior) {
  double sum = 0;
  for (int k = 0; k < num_components; ++k) {
    double& p = posterior[static_cast<int64_t>(k) * stride + i];
    sum += p = draw();
  }
  for (int k = 0; k < num_components; ++k) {
    double& p = posterior[static_cast<int64_t>(k) * stride + i];
    p = sum > 0 ? p / sum : 1.0 / num_components;
  }
}

// The same number for rows with the same cells, and hardly ever for others.
uint64_t MarkOf(const Table& table, int64_t row) {
  uint64_t mark = 0;
  for (int c = 0; c < table.num_columns(); ++c) {
    const double x = table.value(row, c);
    const double cell = std::isnan(x) ? std::numeric_limits<double>::infinity() : x + 0.0;
    mark = Random(mark, std::bit_cast<uint64_t>(cell))();
  }
  return mark;
}

}  // namespace

absl::Status CheckStarts(const Table& table, int num_components, Pool::Share& share,
                         std::stop_token stop) {
  const std::vector<int>& columns = table.start_columns();
  const auto num_columns = static_cast<int>(columns.size());
  if (num_columns != 1 && num_columns != num_components) {
    return absl::InvalidArgumentError(absl::StrCat(
        "start_columns: got ", num_columns, " columns, must be 1 with the component's index or ",
        num_components, ", one per component"));
  }
  // Of one component alone the column may hold either.
  const bool indices = num_columns != num_components;
  const auto sound = [&](double value) {
    if (std::isnan(value)) return true;
    return value >= 0 &&
           (indices ? value < num_components && value == std::floor(value) : std::isfinite(value));
  };
  std::mutex mutex;
  int64_t first_row = std::numeric_limits<int64_t>::max();
  size_t first_column = 0;
  Lanes lanes(table, table.num_columns(), share, std::move(stop));
  absl::Status status = lanes.ForEachBlock([&](int, int, const Block& block) {
    for (int i = 0; i < block.num_rows; ++i) {
      if (block.weights[i] == 0) continue;
      const int64_t row = block.first_row + i;
      for (size_t j = 0; j < columns.size(); ++j) {
        if (sound(table.raw_value(row, columns[j]))) continue;
        const std::lock_guard lock(mutex);
        if (row < first_row) {
          first_row = row;
          first_column = j;
        }
        return;
      }
    }
  });
  if (!status.ok()) return status;
  if (first_row == std::numeric_limits<int64_t>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "start_columns[", first_column, "]: got ", table.raw_value(first_row, columns[first_column]),
      " in row ", first_row, ", must be ",
      indices ? absl::StrCat("a component, 0 to ", num_components - 1) : "finite and 0 or more",
      ", or missing where it is unknown"));
}

Starts::Starts(const Model& model, const Table& table, const Summary& summary, StartMethod method,
               uint64_t seed, std::stop_token stop)
    : model_(model),
      table_(table),
      summary_(summary),
      method_(method),
      seed_(seed),
      stop_(stop),
      num_columns_(table.num_columns()),
      num_seeds_(model.num_seeds()),
      sample_(table, summary, num_seeds_, model.measures_in_own_units(), seed, stop),
      seeds_(table, sample_, num_seeds_, stop) {}

StartMethod Starts::MethodOf(uint64_t stream) const {
  if (method_ != StartMethod::kAuto && method_ != StartMethod::kShortRuns) return method_;
  const uint64_t turn = (stream & 0xffffffff) + (stream >> 32);
  return model_.has_distances() && turn % 2 == 0 ? StartMethod::kKMeansPlusPlus
                                                 : StartMethod::kRandomRows;
}

absl::StatusOr<std::vector<double>> Starts::DrawCentres(uint64_t restart,
                                                        TimeIsUp time_is_up) const {
  const StartMethod method = MethodOf(restart);
  Random random(seed_, restart);
  const std::vector<int> labelled = seeds_.Labelled(random);
  const absl::StatusOr<std::vector<int>> seeds =
      method == StartMethod::kKMeansParallel ? seeds_.Parallel(labelled, random, time_is_up)
      : method == StartMethod::kRandomRows   ? seeds_.Rows(labelled, random, time_is_up)
                                             : seeds_.PlusPlus(labelled, random, time_is_up);
  if (!seeds.ok()) return seeds.status();
  if (method == StartMethod::kAgglomerative && restart == 0) {
    return WardCentres(sample_, labelled, stop_);
  }
  std::vector<double> centres;
  for (const int row : *seeds) {
    for (int c = 0; c < num_columns_; ++c) centres.push_back(sample_.block().column(c)[row]);
  }
  if (method == StartMethod::kKMeans) MoveCentres(sample_, stop_, time_is_up, centres);
  return centres;
}

absl::Status Starts::Draw(uint64_t restart, TimeIsUp time_is_up, Expectation& expectation,
                          std::span<double> theta, std::vector<Repair>& repairs) const {
  if (stop_.stop_requested()) return absl::CancelledError("stop was requested");
  std::vector<double> reference(theta.size());
  model_.Reference(summary_, reference);
  absl::Status status;
  if (method_ == StartMethod::kRandomResponsibilities) {
    status = AssignAtRandom(restart, reference, expectation);
  } else if (method_ == StartMethod::kResponsibilities) {
    status = AssignAsGiven(reference, expectation);
  } else {
    absl::StatusOr<std::vector<double>> centres = DrawCentres(restart, time_is_up);
    if (centres.ok()) {
      status = AssignToCentres(*std::move(centres), Softness(restart, model_.starts_hard()),
                               reference, expectation);
    } else if (model_.chain() != nullptr && absl::IsFailedPrecondition(centres.status())) {
      status = AssignByNeighbours(restart, reference, expectation);
    } else {
      status = centres.status();
    }
  }
  if (!status.ok()) return status;
  return model_.MStep(reference, expectation.statistics(), theta, {repairs, stop_});
}

absl::Status Starts::AssignToCentres(std::vector<double> centres, double softness,
                                     std::span<const double> reference,
                                     Expectation& expectation) const {
  const std::vector<double>& inverse_sd = sample_.inverse_sd();
  for (size_t j = 0; j < centres.size(); ++j) {
    const size_t c = j % num_columns_;
    centres[j] = summary_.mean[c] + centres[j] * (inverse_sd[c] > 0 ? 1 / inverse_sd[c] : 0);
  }
  const int num_components = model_.num_components();
  const int num_others = num_components - num_seeds_;
  const double of_seeds = num_others > 0 ? 1 - kNoiseShare : 1;
  const double share = of_seeds * softness / num_seeds_;
  const double rest = of_seeds * (1 - softness);
  return expectation.RunGiven(reference, [&](const Block& block, std::span<double> scratch,
                                             std::span<double> posterior) {
    double* const distance = scratch.data();
    double* const nearest = scratch.data() + block.stride;
    // posterior(0, i) holds the label until all seeds have been seen.
    double* const label = posterior.data();
    std::fill_n(nearest, block.stride, std::numeric_limits<double>::infinity());
    for (int k = 0; k < num_seeds_; ++k) {
      const double* const centre = centres.data() + static_cast<int64_t>(k) * num_columns_;
      ObservedDistances(block, centre, inverse_sd.data(), distance);
      if (block.log_labels != nullptr) {
        const double* const log_label = block.log_labels + static_cast<int64_t>(k) * block.stride;
        for (int i = 0; i < block.num_rows; ++i) {
          if (std::isinf(log_label[i])) distance[i] = std::numeric_limits<double>::infinity();
        }
      }
      // No branch, so that the compiler makes vectors of it.
      for (int i = 0; i < block.num_rows; ++i) {
        const bool closer = distance[i] < nearest[i];
        nearest[i] = closer ? distance[i] : nearest[i];
        label[i] = closer ? k : label[i];
      }
    }
    for (int k = 1; k < num_seeds_ && share > 0; ++k) {
      std::fill_n(posterior.begin() + static_cast<int64_t>(k) * block.stride, block.num_rows,
                  share);
    }
    for (int k = num_seeds_; k < num_components; ++k) {
      std::fill_n(posterior.begin() + static_cast<int64_t>(k) * block.stride, block.num_rows,
                  kNoiseShare / num_others);
    }
    for (int i = 0; i < block.num_rows; ++i) {
      const int nearest_seed = static_cast<int>(posterior[i]);
      posterior[i] = share;
      posterior[static_cast<int64_t>(nearest_seed) * block.stride + i] = share + rest;
    }
    KeepToLabels(block, posterior);
  });
}

absl::Status Starts::AssignAtRandom(uint64_t restart, std::span<const double> reference,
                                    Expectation& expectation) const {
  const int num_components = model_.num_components();
  const uint64_t seed_of_restart = Random(seed_, restart)();
  return expectation.RunGiven(reference, [&](const Block& block, std::span<double>,
                                             std::span<double> posterior) {
    for (int i = 0; i < block.num_rows; ++i) {
      Random random(seed_of_restart, static_cast<uint64_t>(block.first_row + i));
      DrawShares([&] { return Exponential(random); }, num_components, i, block.stride, posterior);
    }
    KeepToLabels(block, posterior);
  });
}

// A draw for the row's cells, squared so that states specialise, times one for its neighbourhood.
// Draws row by row would give all states the same cells and transitions, up to noise: near a
// saddle. Of eight kinds of starts, ten each on chains of three to five states with two or three
// symbols, no other found the best optima more reliably.
absl::Status Starts::AssignByNeighbours(uint64_t restart, std::span<const double> reference,
                                        Expectation& expectation) const {
  const int num_components = model_.num_components();
  const uint64_t seed_of_restart = Random(seed_, restart)();
  const Sequences* const sequences = table_.sequences().get();
  const auto begins = [&](int64_t row) {
    return row == 0 || row == table_.num_rows() || (sequences != nullptr && sequences->Begins(row));
  };
  return expectation.RunGiven(
      reference, [&](const Block& block, std::span<double>, std::span<double> posterior) {
        // Of the rows before, at and behind row i; at the ends of sequences 0.
        uint64_t before = begins(block.first_row) ? 0 : MarkOf(table_, block.first_row - 1);
        uint64_t mark = MarkOf(table_, block.first_row);
        for (int i = 0; i < block.num_rows; ++i) {
          const int64_t next = block.first_row + i + 1;
          const uint64_t behind = next < table_.num_rows() ? MarkOf(table_, next) : 0;
          const bool ends = begins(next);
          Random of_row(seed_of_restart, mark);
          Random of_all(seed_of_restart, Random(Random(before, mark)(), ends ? 0 : behind)());
          DrawShares(
              [&] {
                const double draw = Exponential(of_row);
                return draw * draw * Exponential(of_all);
              },
              num_components, i, block.stride, posterior);
          before = ends ? 0 : mark;
          mark = behind;
        }
        KeepToLabels(block, posterior);
      });
}

absl::Status Starts::AssignAsGiven(std::span<const double> reference,
                                   Expectation& expectation) const {
  const int num_components = model_.num_components();
  const std::vector<int>& columns = table_.start_columns();
  return expectation.RunGiven(
      reference, [&](const Block& block, std::span<double>, std::span<double> posterior) {
        for (int i = 0; i < block.num_rows; ++i) {
          if (block.weights[i] == 0) continue;  // CheckStarts lets anything pass there
          const int64_t row = block.first_row + i;
          double largest = 0;
          for (int k = 0; k < num_components; ++k) {
            const double given = table_.raw_value(row, columns[columns.size() == 1 ? 0 : k]);
            double& p = posterior[static_cast<int64_t>(k) * block.stride + i];
            p = columns.size() == 1 ? given == k : given > 0 ? given : 0;
            largest = std::max(largest, p);
          }
          // In shares of the largest, so that no sum overflows; where nothing is known all are
          // even.
          double sum = 0;
          for (int k = 0; k < num_components; ++k) {
            double& p = posterior[static_cast<int64_t>(k) * block.stride + i];
            sum += p = largest > 0 ? p / largest : 1;
          }
          for (int k = 0; k < num_components; ++k) {
            posterior[static_cast<int64_t>(k) * block.stride + i] /= sum;
          }
        }
        KeepToLabels(block, posterior);
      });
}

// Multiplies responsibilities by the labels' plausibilities; a row that has none left takes those.
void Starts::KeepToLabels(const Block& block, std::span<double> posterior) const {
  if (block.log_labels == nullptr) return;
  const int num_components = model_.num_components();
  for (int i = 0; i < block.num_rows; ++i) {
    double kept = 0;
    double plausible = 0;
    for (int k = 0; k < num_components; ++k) {
      const int64_t j = static_cast<int64_t>(k) * block.stride + i;
      const double plausibility = std::exp(block.log_labels[j]);
      kept += posterior[j] * plausibility;
      plausible += plausibility;
    }
    for (int k = 0; k < num_components; ++k) {
      const int64_t j = static_cast<int64_t>(k) * block.stride + i;
      const double plausibility = std::exp(block.log_labels[j]);
      posterior[j] = kept > 0 ? posterior[j] * plausibility / kept : plausibility / plausible;
    }
  }
}

}  // namespace emserve
