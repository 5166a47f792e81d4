// Models of sequences as the registry keeps them, and tables for them.
#ifndef EMSERVE_TESTS_SERVER_CHAIN_VERSIONS_H_
#define EMSERVE_TESTS_SERVER_CHAIN_VERSIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/jobs/predict_work.h"
#include "tests/server/domain_test.h"
#include "tests/server/work_test.h"

namespace emserve::server {

// A version called "m" with these parameters, of one column "x" unless others are named.
inline ModelVersion VersionOf(ModelOptions options, std::vector<double> theta,
                              const std::vector<std::string>& columns = {"x"}) {
  ModelVersion version;
  version.model = "m";
  version.options = std::move(options);
  for (const std::string& name : columns) version.columns.push_back({.name = name, .levels = {}});
  version.summary = UnitSummary(static_cast<int>(columns.size()));
  version.summary.minimum.assign(columns.size(), 0);
  version.summary.maximum.assign(columns.size(), 1);
  version.theta = std::move(theta);
  version.predictor =
      Predictor::Create(version.options, version.summary, version.column_names(), version.theta)
          .value();
  version.report = std::make_shared<const FitReport>();
  return version;
}

// The world of Russell & Norvig (2021), chapter 14: state 0 is rain, 1 in the column an umbrella.
inline ModelVersion Umbrellas() {
  return VersionOf(HmmOptions{.num_states = 2, .emission = BernoulliOptions{}},
                   {0.5, 0.5, 0.7, 0.3, 0.3, 0.7, 0.9, 0.2});
}

// Counts in three states that last.
inline ModelVersion Counts() {
  return VersionOf(HmmOptions{.num_states = 3, .emission = PoissonOptions{}},
                   {0.2, 0.3, 0.5, 0.9, 0.05, 0.05, 0.1, 0.8, 0.1, 0.02, 0.08, 0.9, 2, 7, 12});
}

// `values`, row by row, in sequences of these lengths; none: one sequence.
inline Table InSequences(const ModelVersion& version, const std::vector<double>& values,
                         const std::vector<int64_t>& lengths = {}) {
  auto bytes = std::make_shared<const std::string>(Packed(values));
  Cells cells;
  cells.bytes = reinterpret_cast<const std::byte*>(bytes->data());
  cells.owner = std::move(bytes);
  cells.num_columns = static_cast<int>(version.columns.size());
  cells.num_rows = static_cast<int64_t>(values.size() / version.columns.size());
  std::optional<SequenceSource> source;
  if (!lengths.empty()) source = SequenceSource{.column = {}, .lengths = lengths, .weights = {}};
  return SelectColumns("columns", std::move(cells), version.column_names(), version, source)
      .value();
}

inline std::vector<double> Drawn(const ModelVersion& version, int64_t num_rows) {
  return version.predictor->Sample(num_rows, 3).value().rows;
}

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_CHAIN_VERSIONS_H_
