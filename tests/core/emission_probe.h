// An emission run over a small table, without a latent structure around it, and the laws that can
// be checked so.
#ifndef EMSERVE_TESTS_CORE_EMISSION_PROBE_H_
#define EMSERVE_TESTS_CORE_EMISSION_PROBE_H_

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/distribution/emission.h"
#include "core/em/scratch.h"
#include "core/runtime/random.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {

class EmissionProbe {
 public:
  EmissionProbe(const Emission& emission, const Data& data)
      : emission_(emission),
        table_(data.ToTable()),
        num_rows_(static_cast<int>(table_.num_rows())),
        buffer_(num_rows_, table_.num_columns()),
        block_(table_.Read(0, num_rows_, buffer_)),
        prepared_(emission.NewPrepared()),
        workspace_(emission.NewWorkspace(num_rows_)) {}

  const Block& block() const { return block_; }
  double& at(std::vector<double>& by_component, int k, int row) const {
    return by_component[static_cast<size_t>(k) * block_.stride + row];
  }

  // [K x stride]
  std::vector<double> LogDensity(std::span<const double> params) {
    const absl::Status status = emission_.Prepare(params, *prepared_);
    if (!status.ok()) ADD_FAILURE() << status;
    const Scratch aligned(static_cast<int64_t>(size()));
    emission_.LogDensity(*prepared_, block_, *workspace_, std::span(aligned.data(), size()));
    return {aligned.data(), aligned.data() + size()};
  }

  // Statistics with responsibilities [K x stride].
  std::vector<double> Statistics(std::span<const double> params,
                                 const std::vector<double>& responsibilities) {
    const absl::Status status = emission_.Prepare(params, *prepared_);
    if (!status.ok()) ADD_FAILURE() << status;
    const Scratch aligned(static_cast<int64_t>(size()));
    std::copy(responsibilities.begin(), responsibilities.end(), aligned.data());
    std::vector<double> result(emission_.statistics().size());
    emission_.Accumulate(*prepared_, block_, std::span(aligned.data(), size()), *workspace_,
                         result);
    return result;
  }

  // Random responsibilities [K x stride] times the rows' weights.
  std::vector<double> RandomResponsibilities(uint64_t seed) const {
    Random random(seed, 3);
    const int num_components = emission_.num_components();
    std::vector<double> result(size());
    for (int i = 0; i < num_rows_; ++i) {
      double total = 0;
      for (int k = 0; k < num_components; ++k) {
        total += at(result, k, i) = std::pow(random.Uniform(), 2);
      }
      for (int k = 0; k < num_components; ++k) at(result, k, i) *= block_.weights[i] / total;
    }
    return result;
  }

  std::vector<double> Occupancy(std::vector<double> responsibilities) const {
    std::vector<double> result(emission_.num_components());
    for (int k = 0; k < emission_.num_components(); ++k) {
      for (int i = 0; i < num_rows_; ++i) result[k] += at(responsibilities, k, i);
    }
    return result;
  }

  std::vector<double> Maximize(std::span<const double> params, std::span<const double> occupancy,
                               std::span<const double> stats, std::vector<Repair>* repairs) const {
    std::vector<double> next(params.size());
    std::vector<Repair> unread;
    const absl::Status status = emission_.Maximize(params, occupancy, stats, next,
                                                   {repairs == nullptr ? unread : *repairs, {}});
    if (!status.ok()) ADD_FAILURE() << status;
    return next;
  }

  struct Cells {
    std::vector<double> mean;      // [D x stride]
    std::vector<double> variance;  // [D x stride]
  };
  Cells Conditional(std::span<const double> params, const std::vector<double>& posterior) {
    const absl::Status status = emission_.Prepare(params, *prepared_);
    if (!status.ok()) ADD_FAILURE() << status;
    const auto cells = static_cast<size_t>(block_.num_columns) * block_.stride;
    Cells result{std::vector<double>(cells), std::vector<double>(cells)};
    emission_.Conditional(*prepared_, block_, posterior, *workspace_, result.mean.data(),
                          result.variance.data());
    return result;
  }

 private:
  size_t size() const { return static_cast<size_t>(emission_.num_components()) * block_.stride; }

  const Emission& emission_;
  const Table table_;
  const int num_rows_;
  BlockBuffer buffer_;
  const Block block_;
  const std::unique_ptr<Emission::Prepared> prepared_;
  const std::unique_ptr<Emission::Workspace> workspace_;
};

// Parameters after a maximisation from random responsibilities, from the emission's reference.
inline std::vector<double> RandomParameters(const Emission& emission, const Data& data,
                                            uint64_t seed) {
  EmissionProbe probe(emission, data);
  std::vector<double> reference(emission.parameters().size());
  emission.Reference(SummaryOf(data.ToTable()), reference);
  const std::vector<double> r = probe.RandomResponsibilities(seed);
  return probe.Maximize(reference, probe.Occupancy(r), probe.Statistics(reference, r), nullptr);
}

// No step in unconstrained coordinates raises the expected log density plus prior above what
// Maximize reached from `params`, and that is not below where it began.
inline ::testing::AssertionResult MaximizesExpectedLogDensity(const Emission& emission,
                                                              const Data& data,
                                                              const std::vector<double>& params,
                                                              uint64_t seed) {
  EmissionProbe probe(emission, data);
  const std::vector<double> r = probe.RandomResponsibilities(seed);
  const std::vector<double> occupancy = probe.Occupancy(r);
  const std::vector<double> stats = probe.Statistics(params, r);
  const std::vector<double> best = probe.Maximize(params, occupancy, stats, nullptr);
  const auto q = [&](const std::vector<double>& at) {
    return emission.ExpectedLogDensity(params, occupancy, stats, at) + emission.LogPrior(at);
  };
  const double maximum = q(best);
  const double allowance = 1e-11 * (1 + std::abs(maximum));
  if (!(maximum >= q(params) - allowance)) {
    return ::testing::AssertionFailure() << "Q is " << maximum << " after " << q(params);
  }
  std::vector<double> coordinates(best.size());
  emission.ToUnconstrained(best, coordinates);
  Random random(seed, 4);
  double lost = 0;
  for (int trial = 0; trial < 300; ++trial) {
    std::vector<double> moved = coordinates;
    const double step = std::pow(10.0, -1 - 4 * random.Uniform());
    // One coordinate, or all.
    const size_t only = trial % 2 == 0 ? random.Below(moved.size()) : moved.size();
    for (size_t j = 0; j < moved.size(); ++j) {
      if (only == moved.size() || only == j) {
        moved[j] += step * random.Normal() * (1 + std::abs(moved[j]));
      }
    }
    std::vector<double> at(best.size());
    emission.FromUnconstrained(moved, best, at);
    if (!emission.Validate(at).ok()) continue;
    const double value = q(at);
    if (!(value <= maximum + allowance)) {
      return ::testing::AssertionFailure()
             << "Q is " << maximum << ", but " << value << " after a step of " << step
             << " in coordinate " << only << " of " << moved.size();
    }
    lost = std::max(lost, maximum - value);
  }
  if (!(lost > 1e3 * allowance)) return ::testing::AssertionFailure() << "no step lost anything";
  return ::testing::AssertionSuccess();
}

// Maximize gives back the parameters whose expected statistics it is given.
inline ::testing::AssertionResult ExpectedStatisticsGiveParametersBack(
    const Emission& emission, const std::vector<double>& params) {
  std::vector<double> occupancy(emission.num_components());
  for (size_t k = 0; k < occupancy.size(); ++k) occupancy[k] = 50 + 10.0 * static_cast<double>(k);
  std::vector<double> stats(emission.statistics().size(), 77.0);
  emission.ExpectedStatistics(params, occupancy, stats);
  std::vector<double> next(params.size());
  std::vector<Repair> repairs;
  const absl::Status status = emission.Maximize(params, occupancy, stats, next, {repairs, {}});
  if (!status.ok()) return ::testing::AssertionFailure() << status;
  for (size_t j = 0; j < next.size(); ++j) {
    if (!(std::abs(next[j] - params[j]) <= 1e-7 * (1 + std::abs(params[j])))) {
      return ::testing::AssertionFailure()
             << "parameter " << j << " was " << params[j] << ", is " << next[j];
    }
  }
  return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult CoordinatesRoundTrip(const Emission& emission,
                                                       const std::vector<double>& params) {
  std::vector<double> coordinates(params.size());
  std::vector<double> back(params.size());
  emission.ToUnconstrained(params, coordinates);
  emission.FromUnconstrained(coordinates, params, back);
  for (size_t j = 0; j < back.size(); ++j) {
    if (!(std::abs(back[j] - params[j]) <= 1e-9 * (1 + std::abs(params[j])))) {
      return ::testing::AssertionFailure()
             << "parameter " << j << " was " << params[j] << ", is " << back[j];
    }
  }
  return ::testing::AssertionSuccess();
}

// Statistics centred elsewhere by Recenter are worth the same.
inline ::testing::AssertionResult RecenteringChangesNoExpectation(
    const Emission& emission, const Data& data, const std::vector<double>& params,
    const std::vector<double>& centre) {
  EmissionProbe probe(emission, data);
  const std::vector<double> r = probe.RandomResponsibilities(5);
  const std::vector<double> occupancy = probe.Occupancy(r);
  const std::vector<double> stats = probe.Statistics(params, r);
  std::vector<double> recentred = stats;
  emission.Recenter(params, centre, occupancy, recentred);
  for (const auto& at : {params, centre}) {
    const double before = emission.ExpectedLogDensity(params, occupancy, stats, at);
    const double after = emission.ExpectedLogDensity(centre, occupancy, recentred, at);
    if (!(std::abs(before - after) <= 1e-10 * (1 + std::abs(before)))) {
      return ::testing::AssertionFailure() << before << " before, " << after << " after";
    }
  }
  return ::testing::AssertionSuccess();
}

// Every seventh cell or so of a copy is missing, no row wholly.
inline Data WithHoles(Data data, uint64_t seed) {
  Random random(seed, 6);
  for (int64_t i = 0; i < data.num_rows(); ++i) {
    const auto kept = static_cast<int64_t>(random.Below(data.num_columns));
    for (int64_t c = 0; c < data.num_columns; ++c) {
      if (c != kept && random.Uniform() < 0.15) data.values[i * data.num_columns + c] = NAN;
    }
  }
  return data;
}

}  // namespace emserve::testing

#endif  // EMSERVE_TESTS_CORE_EMISSION_PROBE_H_
