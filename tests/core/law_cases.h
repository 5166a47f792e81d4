// What the laws run on: every emission with options that change its arithmetic, and rows for it.
//
// Shared by the laws of mixtures and those of hidden Markov models, so that an emission that is
// added here is put under both.
#ifndef EMSERVE_TESTS_CORE_LAW_CASES_H_
#define EMSERVE_TESTS_CORE_LAW_CASES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/families.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

// Rows that a family can be fitted to, made from round Gaussians.
using Shape = void (*)(std::span<double> row);

inline void Real(std::span<double>) {}
inline void HeavyTailed(std::span<double> row) {
  for (double& value : row) value = std::sinh(value);
}
inline void Positive(std::span<double> row) {
  for (double& value : row) value = std::exp(value / 2);
}
inline void Counts(std::span<double> row) {
  for (double& value : row) value = std::floor(2 * std::exp(value / 3));
}
inline void DispersedCounts(std::span<double> row) {
  for (double& value : row) value = std::floor(std::exp(1.2 * value));
}
inline void Binary(std::span<double> row) {
  for (double& value : row) value = value > 0 ? 1 : 0;
}
inline void Codes(std::span<double> row) {
  for (double& value : row) value = std::clamp(std::floor(value + 2), 0.0, 3.0);
}
inline void Directions(std::span<double> row) {
  double squares = 0;
  for (const double value : row) squares += value * value;
  for (double& value : row) value /= std::sqrt(squares);
}
// Two real columns, then counts.
inline void RealAndCounts(std::span<double> row) { Counts(row.subspan(2)); }

inline void Reshape(Shape shape, Data& data) {
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    shape(std::span(data.values).subspan(i * data.num_columns, data.num_columns));
  }
}

// Of five columns.
struct EmissionCase {
  std::string family;   // as in names of families, before _mixture or _hmm
  std::string variant;  // empty or "_..."
  EmissionOptions options;
  Shape shape = Real;
  // The same with a prior, and elements to fix, of an array of the emission's.
  EmissionOptions with_prior;
  FixedElements fixed;
  bool closed_form = true;  // the maximisation is the maximum of Q

  std::string Name(const std::string& structure) const {
    return family + "_" + structure + variant;
  }
  bool missing() const { return HasCapability(family + "_mixture", "missing_cells"); }
};

// One entry per emission and option that changes the arithmetic.
inline std::vector<EmissionCase> EmissionCases() {
  std::vector<EmissionCase> cases;
  const auto add = [&cases](const std::string& family, const std::string& variant,
                            const EmissionOptions& options, Shape shape,
                            const EmissionOptions& with_prior, const char* fixed_array,
                            std::vector<int64_t> fixed_elements, double value,
                            bool closed_form = true) {
    cases.push_back({.family = family,
                     .variant = variant,
                     .options = options,
                     .shape = shape,
                     .with_prior = with_prior,
                     .fixed = {fixed_array, std::move(fixed_elements), {value}},
                     .closed_form = closed_form});
  };
  StudentTOptions student;
  StudentTOptions student_prior = student;
  student_prior.prior = NormalInverseWishart{};
  add("student_t", "", student, HeavyTailed, student_prior, "degrees_of_freedom", {1}, 7, false);
  student.covariance = Covariance::kDiagonal;
  student.shared_degrees_of_freedom = true;
  student_prior.covariance = Covariance::kDiagonal;
  add("student_t", "_diagonal_shared", student, HeavyTailed, student_prior, "means", {0, 6}, 0.5,
      false);
  add("bernoulli", "", BernoulliOptions{}, Binary, BernoulliOptions{.alpha = 2, .beta = 3},
      "probabilities", {3}, 0.25);
  add("categorical", "", CategoricalOptions{}, Codes,
      CategoricalOptions{.first = {}, .num_levels = {}, .concentration = 1.5}, "probabilities_1",
      {0}, 0.25);
  MultinomialOptions multinomial;
  multinomial.concentration = 2;
  add("multinomial", "", MultinomialOptions{}, Counts, multinomial, "probabilities", {7}, 0.25);
  add("poisson", "", PoissonOptions{}, Counts, PoissonOptions{.prior = {2, 0.5}}, "rates", {4},
      1.5);
  add("negative_binomial", "", NegativeBinomialOptions{}, DispersedCounts,
      NegativeBinomialOptions{.mean_prior = {2, 0.5}, .dispersion_prior = {2, 0.5}}, "dispersions",
      {2}, 1.5, false);
  ExponentialOptions exponential;
  exponential.prior = {2, 0.5};
  add("exponential", "", ExponentialOptions{}, Positive, exponential, "rates", {1}, 0.5);
  GammaOptions gamma;
  gamma.prior = {.observations = 2, .mean = 1, .shape = 2};
  add("gamma", "", GammaOptions{}, Positive, gamma, "shapes", {1}, 2);
  LogNormalOptions log_normal;
  log_normal.prior = LogNormalOptions::Prior{};
  add("log_normal", "", LogNormalOptions{}, Positive, log_normal, "log_means", {1}, 0.1);
  VonMisesFisherOptions directions;
  directions.prior_mean = {0.6, 0, 0, 0, 0};
  directions.prior_strength = 2;
  add("von_mises_fisher", "", VonMisesFisherOptions{}, Directions, directions, "concentrations",
      {1}, 3);
  GaussianOptions gaussian_prior;
  gaussian_prior.prior = NormalInverseWishart{};
  add("product", "",
      ProductOptions{{{"size", 2, GaussianOptions{}}, {"counts", 3, PoissonOptions{}}}},
      RealAndCounts,
      ProductOptions{{{"size", 2, gaussian_prior}, {"counts", 3, PoissonOptions{.prior = {2, 1}}}}},
      "size.means", {1}, 0.25);
  for (const CovarianceInfo& info : CovarianceStructures()) {
    GaussianOptions gaussian{info.covariance};
    gaussian.prior = NormalInverseWishart{};
    add("gaussian", "_prior_" + std::string(info.name), GaussianOptions{info.covariance}, Real,
        gaussian, "means", {2, 9}, 0.25, static_cast<size_t>(info.covariance) <= 5);
  }
  return cases;
}

// The rows of `data` with weights, every fifth row's component label(row) known of 3, and a fifth
// of the cells missing if they may be.
inline Table EverythingTable(const Data& data, bool missing,
                             const std::function<double(int64_t row)>& label,
                             std::shared_ptr<const Sequences> sequences = nullptr) {
  const int num_columns = data.num_columns + 2;
  Random random(5, 5);
  auto values = std::make_shared<std::vector<double>>();
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    for (int d = 0; d < data.num_columns; ++d) {
      const bool gone = missing && random.Uniform() < 0.2;
      values->push_back(gone ? std::numeric_limits<double>::quiet_NaN()
                             : data.values[i * data.num_columns + d]);
    }
    values->push_back(i % 5 == 0 ? label(i) : -1.0);
    values->push_back(0.5 + static_cast<double>(i % 4));
  }
  Table::Options options;
  for (int d = 0; d < data.num_columns; ++d) options.columns.push_back(d);
  options.label_column = data.num_columns;
  options.label_components = 3;
  options.weight_column = data.num_columns + 1;
  options.sequences = std::move(sequences);
  return Table::Create({.owner = values,
                        .bytes = reinterpret_cast<const std::byte*>(values->data()),
                        .num_rows = data.num_rows(),
                        .num_columns = num_columns},
                       options)
      .value();
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_LAW_CASES_H_
