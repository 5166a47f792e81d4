// Emissions of independent columns under test: every one with data that it can have made, and its
// E- and M-step without a latent structure around it.
#ifndef EMSERVE_TESTS_CORE_COLUMNS_TEST_H_
#define EMSERVE_TESTS_CORE_COLUMNS_TEST_H_

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/em/constraints.h"
#include "core/em/scratch.h"
#include "core/emission/bernoulli.h"
#include "core/emission/exponential.h"
#include "core/emission/gamma.h"
#include "core/emission/log_normal.h"
#include "core/emission/negative_binomial.h"
#include "core/emission/poisson.h"
#include "core/latent/mixture.h"
#include "core/runtime/draws.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

using EmissionResult = absl::StatusOr<std::unique_ptr<Emission>>;
using MakeEmission =
    std::function<EmissionResult(int, const Summary&, const std::vector<std::string>&)>;

template <typename Options>
MakeEmission With(EmissionResult (*make)(const Options&, int, const Summary&,
                                         const std::vector<std::string>&),
                  Options options = {}) {
  return [=](int num_components, const Summary& summary, const std::vector<std::string>& names) {
    return make(options, num_components, summary, names);
  };
}

// An emission with the table it was made for, and arrays of what it computes.
class Bench {
 public:
  Bench(const MakeEmission& make, int num_components, const Data& data,
        const ConstraintOptions& constraints = {})
      : table_(data.ToTable()), summary_(SummaryOf(table_)), num_components_(num_components) {
    EmissionResult made = make(num_components, summary_, table_.names());
    if (!made.ok()) {
      ADD_FAILURE() << made.status();
      return;
    }
    emission_ = *std::move(made);
    auto resolved = Constraints::Make(emission_->parameters(), constraints);
    EXPECT_TRUE(resolved.ok()) << resolved.status();
    if (!constraints.empty()) {
      const absl::Status status = emission_->Constrain(*std::move(resolved));
      EXPECT_TRUE(status.ok()) << status;
    }
  }

  Emission& emission() { return *emission_; }
  const Emission& emission() const { return *emission_; }
  const Table& table() const { return table_; }
  const Summary& summary() const { return summary_; }
  int num_rows() const { return static_cast<int>(table_.num_rows()); }

  // Other rows for the same emission.
  void Replace(const Data& data) { table_ = data.ToTable(); }

  // Mean and variance of a missing cell in column `d` when component `k` has `posterior` and the
  // other of two has the rest.
  void Conditional(const std::vector<double>& params, int k, double posterior, int d, double& mean,
                   double& variance) {
    Data row{.num_columns = table_.num_columns(), .values = {}, .weights = {}};
    for (int c = 0; c < table_.num_columns(); ++c) row.values.push_back(table_.value(0, c));
    row.values[d] = kNaN;
    Table before = std::exchange(table_, row.ToTable());
    WithBlock(params, [&](const Block& block, const Emission::Prepared& prepared,
                          Emission::Workspace& workspace) {
      std::vector<double> posteriors(static_cast<size_t>(num_components_) * block.stride);
      posteriors[static_cast<size_t>(k) * block.stride] = posterior;
      posteriors[static_cast<size_t>(1 - k) * block.stride] = 1 - posterior;
      std::vector<double> means(static_cast<size_t>(block.num_columns) * block.stride);
      std::vector<double> variances(means.size());
      emission_->Conditional(prepared, block, posteriors, workspace, means.data(),
                             variances.data());
      for (int c = 0; c < block.num_columns; ++c) {
        if (c == d) continue;
        EXPECT_EQ(means[static_cast<size_t>(c) * block.stride], row.values[c]);
        EXPECT_EQ(variances[static_cast<size_t>(c) * block.stride], 0);
      }
      mean = means[static_cast<size_t>(d) * block.stride];
      variance = variances[static_cast<size_t>(d) * block.stride];
    });
    table_ = std::move(before);
  }

  // [K][rows] log p(x_i | k).
  std::vector<std::vector<double>> LogDensity(const std::vector<double>& params) const {
    std::vector<std::vector<double>> result;
    WithBlock(params, [&](const Block& block, const Emission::Prepared& prepared,
                          Emission::Workspace& workspace) {
      Scratch out(static_cast<int64_t>(num_components_) * block.stride);
      emission_->LogDensity(prepared, block, workspace,
                            {out.data(), static_cast<size_t>(out.size())});
      for (int k = 0; k < num_components_; ++k) {
        const double* const row = out.data() + static_cast<int64_t>(k) * block.stride;
        result.emplace_back(row, row + block.num_rows);
        for (int i = block.num_rows; i < block.stride; ++i) {
          EXPECT_TRUE(std::isfinite(row[i])) << "padding";
        }
      }
    });
    return result;
  }

  // Statistics under responsibilities [K][rows].
  std::vector<double> Statistics(const std::vector<double>& params,
                                 const std::vector<std::vector<double>>& resp) const {
    std::vector<double> stats(emission_->statistics().size());
    WithBlock(params, [&](const Block& block, const Emission::Prepared& prepared,
                          Emission::Workspace& workspace) {
      Scratch in(static_cast<int64_t>(num_components_) * block.stride);
      for (int k = 0; k < num_components_; ++k) {
        std::copy(resp[k].begin(), resp[k].end(),
                  in.data() + static_cast<int64_t>(k) * block.stride);
      }
      emission_->Accumulate(prepared, block, {in.data(), static_cast<size_t>(in.size())}, workspace,
                            stats);
    });
    return stats;
  }

  // The M-step after Statistics; what it repaired goes to `repairs`.
  std::vector<double> Maximize(const std::vector<double>& params,
                               const std::vector<std::vector<double>>& resp,
                               std::vector<Repair>* repairs = nullptr) const {
    std::vector<double> occupancy;
    for (const std::vector<double>& of_component : resp) {
      occupancy.push_back(0);
      for (const double r : of_component) occupancy.back() += r;
    }
    std::vector<Repair> made;
    std::vector<double> next(params.size());
    const absl::Status status =
        emission_->Maximize(params, occupancy, Statistics(params, resp), next, {made, {}});
    EXPECT_TRUE(status.ok()) << status;
    if (repairs != nullptr) *repairs = made;
    return next;
  }

  // sum_ik r_ik log p(x_i | k) + log prior, by densities and not by statistics.
  double Q(const std::vector<double>& params, const std::vector<std::vector<double>>& resp) const {
    double sum = emission_->LogPrior(params);
    const auto log_density = LogDensity(params);
    for (int k = 0; k < num_components_; ++k) {
      for (int i = 0; i < num_rows(); ++i) {
        if (resp[k][i] > 0) sum += resp[k][i] * log_density[k][i];
      }
    }
    return sum;
  }

  std::vector<double> Reference() const {
    std::vector<double> params(emission_->parameters().size());
    emission_->Reference(summary_, params);
    return params;
  }

  // Responsibilities that differ by row and component, from one random number each.
  std::vector<std::vector<double>> RandomResponsibilities(uint64_t seed) const {
    Random random(seed, 0);
    std::vector<std::vector<double>> resp(num_components_, std::vector<double>(num_rows()));
    for (int i = 0; i < num_rows(); ++i) {
      double sum = 0;
      for (auto& of_component : resp) sum += of_component[i] = DrawExponential(random);
      for (auto& of_component : resp) of_component[i] *= table_.weight(i) / sum;
    }
    return resp;
  }

  // Parameters that differ by component: a maximisation from random responsibilities.
  std::vector<double> RandomParams(uint64_t seed) const {
    return Maximize(Reference(), RandomResponsibilities(seed));
  }

  void WithBlock(const std::vector<double>& params,
                 const std::function<void(const Block&, const Emission::Prepared&,
                                          Emission::Workspace&)>& body) const {
    const auto prepared = emission_->NewPrepared();
    const auto workspace = emission_->NewWorkspace(num_rows());
    const absl::Status status = emission_->Prepare(params, *prepared);
    ASSERT_TRUE(status.ok()) << status;
    BlockBuffer buffer = table_.MakeBuffer(num_rows());
    body(table_.Read(0, num_rows(), buffer), *prepared, *workspace);
  }

 private:
  Table table_;
  Summary summary_;
  int num_components_;
  std::unique_ptr<Emission> emission_;
};

// A distribution with everything that the shared tests need to know of it.
struct Family {
  std::string name;
  MakeEmission make;
  // A cell of component `k`.
  std::function<double(int k, Random& random)> draw;
  double outside = 0;  // a cell that it refuses
  std::string support;
  bool exact = true;  // the M-step is the maximiser, not only a rise
};

inline std::ostream& operator<<(std::ostream& out, const Family& family) {
  return out << family.name;
}

inline std::vector<Family> ColumnFamilies() {
  return {
      {"bernoulli", With(MakeBernoulli),
       [](int k, Random& r) { return r.Uniform() < 0.2 + 0.5 * (k % 2) ? 1.0 : 0.0; }, 2, "0 or 1",
       true},
      {"bernoulli_prior", With(MakeBernoulli, {.alpha = 1.5, .beta = 3}),
       [](int k, Random& r) { return r.Uniform() < 0.2 + 0.5 * (k % 2) ? 1.0 : 0.0; }, 0.5,
       "0 or 1", true},
      {"poisson", With(MakePoisson), [](int k, Random& r) { return DrawPoisson(1 + 4 * k, r); },
       1.5, "a count: 0, 1, 2, ...", true},
      {"poisson_prior", With(MakePoisson, {.prior = {3, 2}}),
       [](int k, Random& r) { return DrawPoisson(1 + 4 * k, r); }, -1, "a count: 0, 1, 2, ...",
       true},
      {"poisson_large", With(MakePoisson),
       [](int k, Random& r) { return DrawPoisson(1e9 * (1 + 1e-4 * k), r); }, 1.5,
       "a count: 0, 1, 2, ...", true},
      {"negative_binomial", With(MakeNegativeBinomial),
       [](int k, Random& r) { return DrawNegativeBinomial(2 + 6 * k, 1 + k, r); }, 0.5,
       "a count: 0, 1, 2, ...", false},
      {"negative_binomial_prior",
       With(MakeNegativeBinomial, {.mean_prior = {2, 1}, .dispersion_prior = {3, 0.5}}),
       [](int k, Random& r) { return DrawNegativeBinomial(2 + 6 * k, 1 + k, r); }, -2,
       "a count: 0, 1, 2, ...", false},
      {"negative_binomial_large", With(MakeNegativeBinomial),
       [](int k, Random& r) { return DrawNegativeBinomial(1e6 + 1e6 * k, 3 + k, r); }, 0.5,
       "a count: 0, 1, 2, ...", false},
      {"exponential", With(MakeExponential),
       [](int k, Random& r) { return (1 + 3 * k) * DrawExponential(r); }, -0.5,
       "0 or more and finite", true},
      {"exponential_prior", With(MakeExponential, {.prior = {4, 2}}),
       [](int k, Random& r) { return (1 + 3 * k) * DrawExponential(r); }, -0.5,
       "0 or more and finite", true},
      {"gamma", With(MakeGamma),
       [](int k, Random& r) { return (1 + k) * DrawGamma(0.8 + 3 * k, r); }, 0,
       "positive and finite", true},
      {"gamma_prior", With(MakeGamma, {.prior = {5, 3, 2}}),
       [](int k, Random& r) { return (1 + k) * DrawGamma(0.8 + 3 * k, r); }, 0,
       "positive and finite", true},
      {"gamma_small_units", With(MakeGamma),
       [](int k, Random& r) { return 1e-8 * (1 + k) * DrawGamma(2 + 3 * k, r); }, -1,
       "positive and finite", true},
      {"gamma_concentrated", With(MakeGamma),
       [](int k, Random& r) { return 1e8 + 10 * k + r.Normal(); }, -1, "positive and finite", true},
      {"log_normal", With(MakeLogNormal),
       [](int k, Random& r) { return std::exp(k + 0.4 * (1 + k) * r.Normal()); }, 0,
       "positive and finite", true},
      {"log_normal_prior",
       With(MakeLogNormal, {.prior = LogNormalOptions::Prior{0.5, 2, 1.5, 0.7}}),
       [](int k, Random& r) { return std::exp(k + 0.4 * (1 + k) * r.Normal()); }, 0,
       "positive and finite", true},
      {"log_normal_large_units", With(MakeLogNormal),
       [](int k, Random& r) { return 1e8 * std::exp(k + 0.4 * (1 + k) * r.Normal()); }, 0,
       "positive and finite", true},
  };
}

// Rows of component i mod K.
inline Data DataOf(const Family& family, int64_t num_rows, int num_columns, int num_components) {
  Random random(23, 4);
  Data data{.num_columns = num_columns, .values = {}, .weights = {}};
  for (int64_t i = 0; i < num_rows; ++i) {
    for (int d = 0; d < num_columns; ++d) {
      data.values.push_back(family.draw(static_cast<int>(i % num_components), random));
    }
  }
  return data;
}

// The elements of an array, by name.
inline std::vector<double> ArrayOf(const Layout& layout, const std::vector<double>& buffer,
                                   const std::string& name) {
  const ArraySpec* const array = layout.Find(name);
  if (array == nullptr) {
    ADD_FAILURE() << "no array " << name;
    return {};
  }
  return {buffer.begin() + array->offset, buffer.begin() + array->offset + array->size};
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_COLUMNS_TEST_H_
