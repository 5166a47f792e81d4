// What tests of models and of jobs' work share: a small server without its network, and models that
// are made by hand.
#ifndef EMSERVE_TESTS_SERVER_WORK_TEST_H_
#define EMSERVE_TESTS_SERVER_WORK_TEST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/families.h"
#include "core/runtime/pool.h"
#include "server/datasets/dataset_store.h"
#include "server/executor.h"
#include "server/jobs/job.h"
#include "server/registry/model_registry.h"
#include "tests/server/domain_test.h"

namespace emserve::server {

inline ModelOptions Mixture(int num_components, Covariance covariance = Covariance::kFull) {
  return MixtureOptions{num_components, GaussianOptions{.covariance = covariance}};
}

// A summary that says little: `num_rows` rows, mean 0 and variance 1.
inline Summary UnitSummary(int num_columns, int64_t num_rows = 100) {
  const auto size = static_cast<size_t>(num_columns);
  Summary summary;
  summary.num_rows = num_rows;
  summary.num_weighted_rows = num_rows;
  summary.total_weight = static_cast<double>(num_rows);
  summary.mean.assign(size, 0);
  summary.variance.assign(size, 1);
  summary.minimum.assign(size, -3);
  summary.maximum.assign(size, 3);
  return summary;
}

// Columns x and y; clusters of unit variances around (0, 0) and (10, 10), the first with `weight`.
inline ModelVersion TwoClusterVersion(double weight = 0.5) {
  ModelVersion version;
  version.options = Mixture(2, Covariance::kSpherical);
  version.columns = {{.name = "x", .levels = {}}, {.name = "y", .levels = {}}};
  version.summary = UnitSummary(2);
  version.theta = {weight, 1 - weight, 0, 0, 10, 10, 1, 1};
  version.predictor =
      Predictor::Create(version.options, version.summary, version.column_names(), version.theta)
          .value();
  version.report = std::make_shared<const FitReport>();
  return version;
}

// Datasets, models and threads, wired as the server wires them.
struct SmallServer {
  explicit SmallServer(int num_threads = 2, int64_t max_dataset_bytes = int64_t{1} << 28)
      : executor(1, 100),
        datasets({.max_bytes = max_dataset_bytes, .clock = clock.get()}, executor),
        registry({.clock = clock.get()}),
        pool(num_threads) {}

  FakeClock clock;
  Executor executor;
  DatasetStore datasets;
  ModelRegistry registry;
  Pool pool;
};

// One run of a work, as a runner does it.
struct WorkRun {
  explicit WorkRun(Pool& on, Clock with_clock, const std::string& id = "job-1")
      : pool(on), clock(std::move(with_clock)), job(OptionsOf(id, clock()), nullptr) {}

  absl::StatusOr<JobResult> Run(Work& work) {
    Pool::Share share(pool);
    JobContext context(job, share, stop.get_token(), clock);
    return work.Run(context);
  }
  // Warnings with `reason`.
  std::vector<WarningEvent> Warnings(const std::string& reason) const {
    std::vector<WarningEvent> found;
    for (const JobEvent& event : job.log().Read(0, 100000).events) {
      const auto* warning = std::get_if<WarningEvent>(&event.what);
      if (warning != nullptr && warning->reason == reason) found.push_back(*warning);
    }
    return found;
  }
  std::vector<IterationEvent> Iterations() const {
    std::vector<IterationEvent> found;
    for (const JobEvent& event : job.log().Read(0, 100000).events) {
      const auto* iteration = std::get_if<IterationEvent>(&event.what);
      if (iteration != nullptr) found.push_back(*iteration);
    }
    return found;
  }

  Pool& pool;
  const Clock clock;
  std::stop_source stop;
  Job job;

 private:
  static Job::Options OptionsOf(const std::string& id, absl::Time now) {
    Job::Options options;
    options.id = id;
    options.create_time = now;
    return options;
  }
};

}  // namespace emserve::server

#endif  // EMSERVE_TESTS_SERVER_WORK_TEST_H_
