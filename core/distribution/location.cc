#include "core/distribution/location.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "core/numerics/cholesky.h"

namespace emserve {
namespace {

// Standard deviations must be so that squares and their inverses are ordinary numbers.
constexpr double kSmallestVariance = 1e-280;
constexpr double kLargestVariance = 1e280;

// A column counts as constant when its standard deviation is rounding of its values, relative to
// the largest.
constexpr double kConstantRelative = 1e-15;

// Sweeps over constrained means end when no mean moves by more than this share of a standard
// deviation.
constexpr double kSettled = 1e-12;
constexpr int kMaxSweeps = 200;

// "<what was got>, must <constraint>; <remedy>" of a column without spread; empty if it has one.
std::string WhyConstant(const Summary& summary, size_t column) {
  const double low = summary.minimum[column];
  const double high = summary.maximum[column];
  const double variance = summary.variance[column];
  if (!(low <= high)) return "no observed cell, must have some; leave the column out";
  if (!(low < high)) return absl::StrCat(low, " in every row, must vary; leave the column out");
  const double size = std::max(std::abs(low), std::abs(high));
  const double rounding = kConstantRelative * size;
  // The squares of smaller values underflow and say nothing about the spread.
  if (size * size >= kSmallestVariance && !(std::sqrt(variance) > rounding)) {
    return absl::StrCat("values of about ", summary.mean[column],
                        " that vary by no more than their rounding (about ", rounding,
                        "), must vary by more; subtract a constant from the column");
  }
  if (!(variance >= kSmallestVariance)) {
    return absl::StrCat("a variance of ", variance, ", must be at least ", kSmallestVariance,
                        "; rescale the column");
  }
  return "";
}

// Of a column without rows: where the prior on its variance is largest.
double ExpectedVariance(const NormalInverseWishart& prior, int num_columns, size_t column) {
  const double degrees = prior.degrees_of_freedom.value_or(num_columns + 2.0);
  return prior.scale[column * (static_cast<size_t>(num_columns) + 1)] / (degrees + num_columns + 1);
}

bool RestrictsAny(const Constraints& constraints, int64_t begin, int64_t count) {
  for (int64_t i = begin; i < begin + count; ++i) {
    if (constraints.Restricts(i)) return true;
  }
  return false;
}

// Constrained means, one group after the other until they settle: each step is the exact maximum
// over one group given the others, so the function never falls. A component that is not `live`
// keeps its means, but for those that are tied to a live one's; there its `strength`, that of the
// prior alone, counts too.
class MeanSweeps {
 public:
  MeanSweeps(const Covariances& covariances, const Constraints& constraints,
             std::span<const double> params, std::span<const char> live,
             std::span<const double> strength, std::span<const double> target,
             std::span<double> means, int num_columns)
      : constraints_(constraints),
        strength_(strength),
        target_(target),
        means_(means),
        num_columns_(num_columns),
        precision_(live.size()) {
    std::vector<char> moves(means.size());  // by leader
    for (int64_t j = 0; j < std::ssize(means); ++j) {
      if (live[j / num_columns]) moves[constraints.Leader(j)] = true;
    }
    for (int k = 0; k < std::ssize(live); ++k) {
      if (!RestrictsAny(constraints, Cell(k, 0), num_columns)) continue;
      for (int d = 0; d < num_columns; ++d) {
        if (moves[constraints.Leader(Cell(k, d))]) cells_.push_back(Cell(k, d));
      }
      if (strength[k] > 0) precision_[k] = covariances.Precision(params.subspan(means.size()), k);
    }
  }

  void Run() {
    // Groups of cells, by leader.
    std::stable_sort(cells_.begin(), cells_.end(), [this](int64_t a, int64_t b) {
      return constraints_.Leader(a) < constraints_.Leader(b);
    });
    for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
      double moved = 0;
      for (size_t begin = 0; begin < cells_.size();) {
        size_t end = begin + 1;
        while (end < cells_.size() &&
               constraints_.Leader(cells_[end]) == constraints_.Leader(cells_[begin])) {
          ++end;
        }
        if (!constraints_.IsFixed(cells_[begin])) moved = std::max(moved, Move(begin, end));
        begin = end;
      }
      if (!(moved > kSettled)) return;
    }
  }

 private:
  int64_t Cell(int k, int d) const { return static_cast<int64_t>(k) * num_columns_ + d; }

  // Moves one group to its maximum; by how many standard deviations.
  double Move(size_t begin, size_t end) {
    double slope = 0;
    double curvature = 0;
    double strength = 0;
    for (size_t j = begin; j < end; ++j) {
      const auto k = static_cast<int>(cells_[j] / num_columns_);
      const auto d = static_cast<int>(cells_[j] % num_columns_);
      if (precision_[k].empty()) continue;
      strength += strength_[k];
      const bool diagonal = std::ssize(precision_[k]) == num_columns_;
      const double* const row =
          precision_[k].data() + (diagonal ? 0 : static_cast<int64_t>(d) * num_columns_);
      for (int c = diagonal ? d : 0; c < (diagonal ? d + 1 : num_columns_); ++c) {
        const int64_t cell = Cell(k, c);
        slope += strength_[k] * row[c] * (target_[cell] - means_[cell]);
        if (constraints_.Leader(cell) == constraints_.Leader(cells_[j])) {
          curvature += strength_[k] * row[c];
        }
      }
    }
    if (!(curvature > 0)) return 0;
    const double step = slope / curvature;
    for (size_t j = begin; j < end; ++j) means_[cells_[j]] += step;
    return std::abs(step) * std::sqrt(curvature / strength);
  }

  const Constraints& constraints_;
  const std::span<const double> strength_;
  const std::span<const double> target_;
  const std::span<double> means_;
  const int num_columns_;
  std::vector<std::vector<double>> precision_;  // per component, empty if its cells do not count
  std::vector<int64_t> cells_;                  // that move, of the constrained components
};

// Means less the prior's [K, D]; none without a prior on them.
std::vector<double> OffsetsOf(const EllipticalPrior& prior, std::span<const double> means) {
  if (!(prior.shrinkage > 0)) return {};
  std::vector<double> offsets(means.begin(), means.end());
  for (size_t j = 0; j < offsets.size(); ++j) offsets[j] -= prior.mean[j % prior.mean.size()];
  return offsets;
}

}  // namespace

absl::StatusOr<EllipticalPrior> ResolvePrior(const NormalInverseWishart& prior, int num_components,
                                             const Summary& summary) {
  const auto num_columns = static_cast<int>(summary.mean.size());
  const auto bad = [](const char* field, const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("prior.", field, ": got ", what));
  };
  EllipticalPrior resolved;
  resolved.mean = prior.mean.empty() ? summary.mean : prior.mean;
  if (static_cast<int>(resolved.mean.size()) != num_columns) {
    return bad("mean", absl::StrCat(prior.mean.size(), " numbers, must be ", num_columns,
                                    ", one per column"));
  }
  for (const double mean : resolved.mean) {
    if (!std::isfinite(mean)) return bad("mean", absl::StrCat(mean, ", must be finite"));
  }
  if (!(prior.shrinkage >= 0) || !std::isfinite(prior.shrinkage)) {
    return bad("shrinkage", absl::StrCat(prior.shrinkage, ", must be finite and at least 0"));
  }
  resolved.shrinkage = prior.shrinkage;
  const double degrees = prior.degrees_of_freedom.value_or(num_columns + 2.0);
  if (!(degrees > num_columns - 1) || !std::isfinite(degrees)) {
    return bad("degrees_of_freedom", absl::StrCat(degrees, ", must be finite and more than ",
                                                  num_columns - 1, ", the columns minus 1"));
  }
  resolved.scale.exponent = degrees + num_columns + 1;
  resolved.scale.diagonal.resize(num_columns);
  if (prior.scale.empty()) {  // positive where CheckSpread did not refuse
    const double shrunk = std::pow(num_components, -2.0 / num_columns);
    for (int d = 0; d < num_columns; ++d) {
      resolved.scale.diagonal[d] = shrunk * summary.variance[d];
    }
    return resolved;
  }
  const auto square = static_cast<size_t>(num_columns) * num_columns;
  if (prior.scale.size() != square) {
    return bad("scale", absl::StrCat(prior.scale.size(), " numbers, must be ", square,
                                     ", columns x columns"));
  }
  for (int64_t a = 0; a < num_columns; ++a) {
    resolved.scale.diagonal[a] = prior.scale[a * (num_columns + 1)];
    for (int64_t b = 0; b < a; ++b) {
      if (prior.scale[a * num_columns + b] != prior.scale[b * num_columns + a]) {
        return bad("scale", "a matrix that is not symmetric, must be symmetric");
      }
    }
  }
  std::vector<double> factor(square);
  if (!Cholesky(prior.scale, num_columns, factor)) {
    return bad("scale",
               "a matrix with an eigenvalue that is not positive, must be positive "
               "definite");
  }
  resolved.scale.matrix = prior.scale;
  return resolved;
}

absl::StatusOr<std::vector<double>> CheckSpread(bool spherical, const NormalInverseWishart* prior,
                                                const Summary& summary,
                                                const std::vector<std::string>& names) {
  const size_t num_columns = summary.mean.size();
  const bool has_scale = prior != nullptr && prior->scale.size() == num_columns * num_columns;
  std::vector<double> variances = summary.variance;
  size_t constant = 0;
  for (size_t c = 0; c < num_columns; ++c) {
    if (const std::string why = WhyConstant(summary, c); !why.empty()) {
      const bool observed = summary.minimum[c] <= summary.maximum[c];
      ++constant;
      if (spherical && observed && constant < num_columns) continue;
      const double expected =
          has_scale ? ExpectedVariance(*prior, static_cast<int>(num_columns), c) : 0;
      if (observed && expected >= kSmallestVariance && expected <= kLargestVariance) {
        variances[c] = expected;
        continue;
      }
      return absl::FailedPreconditionError(absl::StrCat(
          "columns[", names[c], "]: got ", why,
          num_columns > 1 && !spherical && observed ? ", use a spherical covariance" : "",
          observed ? " or give the covariances a prior with a scale" : ""));
    }
    if (const double variance = summary.variance[c]; !(variance <= kLargestVariance)) {
      return absl::FailedPreconditionError(
          absl::StrCat("columns[", names[c], "]: got a variance of ", variance,
                       ", must be at most ", kLargestVariance, "; rescale the column"));
    }
  }
  return variances;
}

// With first_k = sum_i u_ik (x_i - mean_k), w_k = sum_i u_ik, s = first_k / w_k and d the shift of
// the mean, the scatter about the new mean is that about the old one + w (d - s)(d - s)^T - w s
// s^T. The prior on the mean adds shrinkage (mean - m0)(mean - m0)^T and one to the exponent, of
// empty components too where others share their covariance.
absl::Status MaximizeElliptical(const Covariances& covariances, const EllipticalMoments& moments,
                                const EllipticalPrior* prior, const Constraints& constraints,
                                std::span<const double> params, std::span<double> next,
                                const MaximizeContext& context) {
  const auto num_components = static_cast<int>(moments.exponents.size());
  const auto num_columns = static_cast<int>(moments.first.size() / moments.exponents.size());
  const int64_t num_means = static_cast<int64_t>(num_components) * num_columns;
  const double shrinkage = prior == nullptr ? 0 : prior->shrinkage;
  std::vector<char> live(num_components);
  std::vector<double> strength(num_components);
  std::vector<double> target(num_means);
  std::vector<double> scatter(moments.scatter.begin(), moments.scatter.end());
  for (int k = 0; k < num_components; ++k) {
    live[k] = moments.exponents[k] > 0;
    strength[k] = (live[k] ? moments.weights[k] : 0) + shrinkage;
    for (int d = 0; d < num_columns; ++d) {
      const int64_t j = static_cast<int64_t>(k) * num_columns + d;
      double pull = live[k] ? moments.first[j] : 0;
      if (shrinkage > 0) pull += shrinkage * (prior->mean[d] - params[j]);
      target[j] = params[j] + (strength[k] > 0 ? pull / strength[k] : 0);
      next[j] = live[k] ? target[j] : params[j];
    }
  }
  if (!constraints.empty()) {
    // From the old means, which keep the ties, with the fixed ones at their values.
    for (int64_t begin = 0; begin < num_means; begin += num_columns) {
      if (!RestrictsAny(constraints, begin, num_columns)) continue;
      for (int64_t j = begin; j < begin + num_columns; ++j) {
        next[j] = constraints.IsFixed(j) ? constraints.value(j) : params[constraints.Leader(j)];
      }
    }
    MeanSweeps(covariances, constraints, params, live, strength, target, next.first(num_means),
               num_columns)
        .Run();
  }
  std::vector<double> v(num_columns);
  for (int k = 0; k < num_components; ++k) {
    if (!live[k]) continue;
    const int64_t begin = static_cast<int64_t>(k) * num_columns;
    const double weight = moments.weights[k];
    double largest = 0;
    for (int d = 0; d < num_columns; ++d) v[d] = moments.first[begin + d] / weight;
    covariances.AddOuter(k, -weight, v, scatter);
    for (int d = 0; d < num_columns; ++d) {
      v[d] = next[begin + d] - params[begin + d] - v[d];
      largest = std::max(largest, std::abs(v[d]));
    }
    // Exactly the mean of the rows, up to its rounding, without prior and constraints.
    const bool free = shrinkage == 0 && constraints.empty();
    if (!free && largest > 0) covariances.AddOuter(k, weight, v, scatter);
  }
  if (prior == nullptr) {
    return covariances.Maximize(moments.exponents, scatter, nullptr, params.subspan(num_means),
                                next.subspan(num_means), context);
  }
  const std::vector<double> offsets = OffsetsOf(*prior, next.first(num_means));
  const CovariancePrior of_covariances = {prior->scale, shrinkage, offsets};
  return covariances.Maximize(moments.exponents, scatter, &of_covariances,
                              params.subspan(num_means), next.subspan(num_means), context);
}

// About centre = mean + d: first - w d, and scatter + w (d - s)(d - s)^T - w s s^T with s = first /
// w.
void RecenterElliptical(const Covariances& covariances, std::span<const double> means,
                        std::span<const double> centre, std::span<const double> weights,
                        std::span<double> first, std::span<double> scatter) {
  const size_t num_columns = means.size() / weights.size();
  std::vector<double> v(num_columns);
  for (size_t k = 0; k < weights.size(); ++k) {
    if (!(weights[k] > 0)) continue;
    const size_t begin = k * num_columns;
    for (size_t d = 0; d < num_columns; ++d) v[d] = first[begin + d] / weights[k];
    covariances.AddOuter(static_cast<int>(k), -weights[k], v, scatter);
    for (size_t d = 0; d < num_columns; ++d) {
      const double shift = centre[begin + d] - means[begin + d];
      v[d] = shift - v[d];
      first[begin + d] -= weights[k] * shift;
    }
    covariances.AddOuter(static_cast<int>(k), weights[k], v, scatter);
  }
}

double LogPriorOf(const EllipticalPrior& prior, const Covariances& covariances,
                  std::span<const double> params, int num_components) {
  const auto num_means = static_cast<int64_t>(num_components) * std::ssize(prior.mean);
  const std::vector<double> offsets = OffsetsOf(prior, params.first(num_means));
  return covariances.LogPrior({prior.scale, prior.shrinkage, offsets}, params.subspan(num_means));
}

}  // namespace emserve
