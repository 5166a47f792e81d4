#include "core/emission/multinomial.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/distribution/components.h"
#include "core/distribution/conditional_cells.h"
#include "core/distribution/whole_rows.h"
#include "core/em/scratch.h"
#include "core/em/simplex_rows.h"
#include "core/numerics/kernels.h"
#include "core/numerics/special.h"

namespace emserve {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kMaxTrials = 1'000'000;
constexpr double kLargestCount = 9007199254740992.0;  // 2^53: whole numbers are exact up to here

// Stands for log 0 in sums of count x log probability, where 0 x it must be 0. Sums below
// kImpossible have met it; those of ordinary logarithms stay far above.
constexpr double kLogOfZero = -1e300;
constexpr double kImpossible = -1e299;

// In log n! - sum log x! + sum x log p the terms grow like n log n and cancel. Up to this total
// that costs no more than 1e-8 nats.
constexpr double kLargeTotal = 1e6;

// log of what Stirling's formula has beyond x log x - x, for x > 0; x! = 1 for x = 0.
double LogStirlingFactor(double x) {
  return x > 0 ? StirlingError(x) + 0.5 * std::log(2 * std::numbers::pi * x) : 0;
}

class MultinomialPrepared final : public Emission::Prepared {
 public:
  explicit MultinomialPrepared(int64_t size)
      : probabilities(size), log_probabilities(size), cumulated(size) {}

  std::vector<double> probabilities;      // [K, D], of sum 1 but for rounding
  std::vector<double> log_probabilities;  // [K, D], kLogOfZero for 0
  std::vector<double> cumulated;          // [K, D] probability of this category or one before it
};

class MultinomialWorkspace final : public Emission::Workspace {
 public:
  MultinomialWorkspace(int max_rows, int num_columns)
      : coefficient(PaddedRows(max_rows)),
        total(coefficient.size()),
        rows(max_rows),
        zeros(num_columns),
        unused(num_columns) {}

  // [stride] log n! / prod x_d!, or by LogStirlingFactor for large totals; -infinity: not a row of
  // counts
  const Scratch coefficient;
  const Scratch total;  // [stride]
  WholeRows rows;
  std::vector<double> zeros;   // [D]
  std::vector<double> unused;  // [D]
};

const MultinomialPrepared& Cast(const Emission::Prepared& prepared) {
  return static_cast<const MultinomialPrepared&>(prepared);
}

class Multinomial final : public Emission {
 public:
  Multinomial(const MultinomialOptions& options, int num_components, const Summary& summary)
      : num_components_(num_components),
        num_columns_(static_cast<int>(summary.mean.size())),
        trials_(options.trials),
        empty_occupancy_(kEmptyRows * summary.mean_weight()),
        rows_("probabilities", num_components, num_columns_, options.concentration) {
    parameters_.Add("probabilities", {num_components_, num_columns_});
    statistics_.Add("counts", {num_components_, num_columns_});
  }

  const Layout& parameters() const override { return parameters_; }
  const Layout& statistics() const override { return statistics_; }
  int num_components() const override { return num_components_; }
  int num_columns() const override { return num_columns_; }
  int64_t scratch_per_row() const override { return 2; }
  bool starts_hard() const override { return false; }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    return rows_.num_free(active);
  }

  absl::Status Constrain(Constraints constraints) override { return rows_.Constrain(constraints); }

  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    for (int i = 0; i < block.num_rows; ++i) {
      if (!(block.weights[i] > 0)) continue;  // says nothing, whatever is in it
      if (IsAbsent(block, i)) {
        if (absl::Status status = CheckWholeRow(block, i, names); !status.ok()) return status;
        continue;
      }
      for (int c = 0; c < num_columns_; ++c) {
        const double value = block.column(c)[i];
        if (value >= 0 && value <= kLargestCount && std::floor(value) == value) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("[", block.first_row + i, "]: got ", value, " in column '", names[c],
                         "', must be a count, a whole number from 0 to 2^53"));
      }
    }
    return absl::OkStatus();
  }

  std::unique_ptr<Emission::Prepared> NewPrepared() const override {
    return std::make_unique<MultinomialPrepared>(parameters_.size());
  }
  std::unique_ptr<Workspace> NewWorkspace(int max_rows) const override {
    return std::make_unique<MultinomialWorkspace>(max_rows, num_columns_);
  }

  absl::Status Validate(std::span<const double> params) const override {
    return rows_.Validate(params);
  }

  absl::Status Prepare(std::span<const double> params,
                       Emission::Prepared& prepared) const override {
    auto& mine = static_cast<MultinomialPrepared&>(prepared);
    for (int k = 0; k < num_components_; ++k) {
      double sum = 0;
      for (int64_t j = Cell(k, 0); j < Cell(k + 1, 0); ++j) {
        mine.log_probabilities[j] = params[j] > 0 ? std::log(params[j]) : kLogOfZero;
        mine.cumulated[j] = sum += params[j];
      }
      for (int64_t j = Cell(k, 0); j < Cell(k + 1, 0); ++j) mine.probabilities[j] = params[j] / sum;
    }
    return absl::OkStatus();
  }

  // A row without a cell is as good as one without a count.
  void LogDensity(const Emission::Prepared& prepared, const Block& given, Workspace& workspace,
                  std::span<double> log_density) const override {
    auto& work = static_cast<MultinomialWorkspace&>(workspace);
    const Block block = work.rows.Fill(given);
    const double* const coefficient = work.coefficient.data();
    const double* const total = work.total.data();
    const bool any_large = FindCoefficients(block, work);
    for (int k = 0; k < num_components_; ++k) {
      double* const sum = log_density.data() + static_cast<int64_t>(k) * block.stride;
      std::fill_n(sum, block.stride, 0.0);
      AddLogProbabilities(Cast(prepared).log_probabilities.data() + Cell(k, 0), block, sum);
      for (int i = 0; i < block.stride; ++i) {
        const bool possible = sum[i] > kImpossible && coefficient[i] > -kInfinity;
        sum[i] = possible ? sum[i] + coefficient[i] : -kInfinity;
      }
      for (int i = 0; any_large && i < block.num_rows; ++i) {
        if (!(total[i] > kLargeTotal) || !(sum[i] > -kInfinity)) continue;
        sum[i] = coefficient[i] - HalfDevianceOf(Cast(prepared), k, block, i, total[i]);
      }
    }
  }

  void Accumulate(const Emission::Prepared&, const Block& given, std::span<const double> resp,
                  Workspace& workspace, std::span<double> stats) const override {
    auto& work = static_cast<MultinomialWorkspace&>(workspace);
    const Block block = work.rows.Fill(given);
    for (int k = 0; k < num_components_; ++k) {
      AddDiagonalMoments(block.values, block.stride, num_columns_, work.zeros.data(),
                         resp.data() + static_cast<int64_t>(k) * block.stride,
                         stats.data() + Cell(k, 0), work.unused.data());
    }
  }

  // The shares of the categories among the counts, with the prior's virtual ones.
  absl::Status Maximize(std::span<const double> params, std::span<const double> occupancy,
                        std::span<const double> stats, std::span<double> next,
                        const MaximizeContext& context) const override {
    const std::vector<char> empty = FindEmpty(occupancy, empty_occupancy_, context.repairs);
    return rows_.Maximize(stats, empty, params, next, context.stop);
  }

  void Recenter(std::span<const double>, std::span<const double>, std::span<const double>,
                std::span<double>) const override {}  // counts have no centre

  // Of rows with as many counts as sampled ones.
  void ExpectedStatistics(std::span<const double> params, std::span<const double> occupancy,
                          std::span<double> stats) const override {
    for (int64_t j = 0; j < parameters_.size(); ++j) {
      stats[j] = occupancy[j / num_columns_] * static_cast<double>(trials_) * params[j];
    }
  }

  // sum counts log p.
  double ExpectedLogDensity(std::span<const double>, std::span<const double>,
                            std::span<const double> stats,
                            std::span<const double> params) const override {
    double sum = 0;
    for (int64_t j = 0; j < parameters_.size(); ++j) {
      if (stats[j] != 0) sum += stats[j] * std::log(params[j]);
    }
    return sum;
  }

  double LogPrior(std::span<const double> params) const override { return rows_.LogPrior(params); }

  void Reference(const Summary& summary, std::span<double> params) const override {
    std::vector<double> counts(parameters_.size());
    for (int64_t j = 0; j < parameters_.size(); ++j) {
      counts[j] = summary.total_weight * summary.mean[j % num_columns_];
    }
    std::vector<double> even(parameters_.size());
    rows_.SetUniform(even);
    // Nobody stops it.
    rows_.Maximize(counts, std::vector<char>(num_components_), even, params, {}).IgnoreError();
  }

  void Sample(const Emission::Prepared& prepared, int component, Random& random,
              std::span<double> row) const override {
    const std::span<const double> cumulated =
        std::span(Cast(prepared).cumulated).subspan(Cell(component, 0), num_columns_);
    std::fill(row.begin(), row.end(), 0.0);
    for (int64_t trial = 0; trial < trials_; ++trial) {
      // Below the last sum, so that neither rounding nor trailing zeros draw an impossible one.
      const double at = random.Uniform() * cumulated.back();
      row[std::upper_bound(cumulated.begin(), cumulated.end() - 1, at) - cumulated.begin()] += 1;
    }
  }

  // Of rows with as many counts as sampled ones: trials p and trials p (1 - p).
  void Conditional(const Emission::Prepared& prepared, const Block& block,
                   std::span<const double> posterior, Workspace&, double* mean,
                   double* variance) const override {
    ConditionalCells cells(block, mean, variance);
    if (block.complete) return;
    std::vector<double> of_mean(static_cast<size_t>(num_columns_) * block.stride);
    std::vector<double> of_variance(of_mean.size());
    for (int k = 0; k < num_components_; ++k) {
      for (int d = 0; d < num_columns_; ++d) {
        const double p = Cast(prepared).probabilities[Cell(k, d)];
        const double expected = static_cast<double>(trials_) * p;
        const int64_t begin = static_cast<int64_t>(d) * block.stride;
        std::fill_n(of_mean.begin() + begin, block.stride, expected);
        std::fill_n(of_variance.begin() + begin, block.stride, expected * (1 - p));
      }
      cells.Add(posterior.data() + static_cast<int64_t>(k) * block.stride, of_mean.data(),
                of_variance.data());
    }
  }

  void ToUnconstrained(std::span<const double> params,
                       std::span<double> coordinates) const override {
    rows_.ToCoordinates(params, coordinates);
  }
  void FromUnconstrained(std::span<const double> coordinates, std::span<const double>,
                         std::span<double> params) const override {
    rows_.FromCoordinates(coordinates, params);
  }

 private:
  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }

  // The logarithm of the number of orders in which each row can have come about, for large totals
  // without what HalfDevianceOf makes up for; whether there are such.
  bool FindCoefficients(const Block& block, MultinomialWorkspace& work) const {
    double* const coefficient = work.coefficient.data();
    double* const total = work.total.data();
    std::fill_n(coefficient, block.stride, 0.0);
    std::fill_n(total, block.stride, 0.0);
    for (int d = 0; d < num_columns_; ++d) {
      const double* const counts = block.column(d);
      for (int i = 0; i < block.num_rows; ++i) {
        total[i] += counts[i];
        coefficient[i] -= counts[i] >= 0 ? LogFactorial(counts[i]) : kInfinity;
      }
    }
    bool any_large = false;
    for (int i = 0; i < block.num_rows; ++i) {
      if (!(coefficient[i] > -kInfinity)) continue;
      if (total[i] > kLargeTotal) {
        any_large = true;
        coefficient[i] = LogStirlingFactor(total[i]);
        for (int d = 0; d < num_columns_; ++d) {
          coefficient[i] -= LogStirlingFactor(block.column(d)[i]);
        }
      } else {
        coefficient[i] += LogFactorial(total[i]);
      }
    }
    return any_large;
  }

  // sum_d x_d log(x_d / (n p_d)) of one row, term by term without cancellation: Loader (2000), for
  // the parts linear in x_d sum to 0.
  double HalfDevianceOf(const MultinomialPrepared& prepared, int k, const Block& block, int row,
                        double total) const {
    double sum = 0;
    for (int d = 0; d < num_columns_; ++d) {
      const double mean = total * prepared.probabilities[Cell(k, d)];
      if (!(mean > 0)) continue;
      const double x = block.column(d)[row];
      const double off = (x - mean) / mean;
      // Far above the mean nothing cancels, and a ratio may be beyond any number.
      sum += off < 1 ? mean * HalfDeviance(off) : x * (std::log(x) - std::log(mean)) - (x - mean);
    }
    return sum;
  }

  // sum[i] += sum_d x_id log_probability[d]. Four columns at a time, so that sums stay in
  // registers.
  void AddLogProbabilities(const double* log_probability, const Block& block, double* sum) const {
    const int64_t stride = block.stride;
    int d = 0;
    for (; d + 4 <= num_columns_; d += 4) {
      // Copies: for all that the compiler knows `sum` might alias them.
      const double a = log_probability[d];
      const double b = log_probability[d + 1];
      const double c = log_probability[d + 2];
      const double e = log_probability[d + 3];
      const double* const x = block.column(d);
      for (int64_t i = 0; i < stride; ++i) {
        sum[i] += (x[i] * a + x[stride + i] * b) + (x[2 * stride + i] * c + x[3 * stride + i] * e);
      }
    }
    for (; d < num_columns_; ++d) {
      const double a = log_probability[d];
      const double* const x = block.column(d);
      for (int64_t i = 0; i < stride; ++i) sum[i] += x[i] * a;
    }
  }

  const int num_components_;
  const int num_columns_;
  const int64_t trials_;
  const double empty_occupancy_;
  SimplexRows rows_;
  Layout parameters_;
  Layout statistics_;
};

}  // namespace

absl::StatusOr<MultinomialOptions> ResolveMultinomial(const MultinomialOptions& options,
                                                      const Summary& summary) {
  if (!(options.trials >= 0 && options.trials <= kMaxTrials)) {
    return absl::InvalidArgumentError(
        absl::StrCat("trials: got ", options.trials, ", must be 0 to ", kMaxTrials));
  }
  MultinomialOptions resolved = options;
  if (resolved.trials == 0) {
    double total = 0;
    for (const double mean : summary.mean) total += mean;
    resolved.trials = std::llround(std::clamp(total, 1.0, static_cast<double>(kMaxTrials)));
  }
  return resolved;
}

absl::StatusOr<std::unique_ptr<Emission>> MakeMultinomial(const MultinomialOptions& options,
                                                          int num_components,
                                                          const Summary& summary,
                                                          const std::vector<std::string>& names) {
  if (!(options.concentration >= 1) || !std::isfinite(options.concentration)) {
    return absl::InvalidArgumentError(absl::StrCat("concentration: got ", options.concentration,
                                                   ", must be finite and at least 1"));
  }
  const absl::StatusOr<MultinomialOptions> resolved = ResolveMultinomial(options, summary);
  if (!resolved.ok()) return resolved.status();
  if (absl::Status status = CheckWholeRows(summary, names); !status.ok()) return status;
  const double size = static_cast<double>(num_components) * static_cast<double>(names.size());
  if (!(size <= kMaxParameters)) {
    return absl::InvalidArgumentError(
        absl::StrCat("columns: got as many as make ", size, " parameters with ", num_components,
                     " components, must make at most ", kMaxParameters, "; use fewer components"));
  }
  return std::make_unique<Multinomial>(*resolved, num_components, summary);
}

}  // namespace emserve
