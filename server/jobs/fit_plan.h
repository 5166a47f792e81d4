// A fit that has been checked and can run: what a fit job has one of, and a sweep one per
// candidate.
#ifndef EMSERVE_SERVER_JOBS_FIT_PLAN_H_
#define EMSERVE_SERVER_JOBS_FIT_PLAN_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/fit.h"
#include "core/em/layout.h"
#include "core/families.h"
#include "core/runtime/pool.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/fit_data.h"
#include "server/jobs/job.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

enum class Storage { kFloat64, kFloat32 };

// Asks that a fit keeps what the model it starts from has learnt (core/em/update.h).
struct UpdateRequest {
  // Observations' worth of it, > 0; absent: as many as it was fitted to, its own past included.
  std::optional<double> weight;
};

// What was fitted, where that is more than was asked for.
struct FittedSpec {
  const ModelOptions& model;  // with levels that were found in the data, a sweep's candidate
  std::string start_model;    // the version it started from; empty: none
  std::optional<double> update_weight;  // of an update: what that version counted for
};

// A fit as the domain sees it. Paths in errors are those of a FitSpec; those that begin with "data"
// ("data[3]", "data.weights[3]") are rows of the table, wherever it came from.
struct FitRequest {
  ModelOptions model;
  // Core names fields relative to the options ("emission.ridge"); this gives the path inside the
  // specification's `model` ("mixture.emission.gaussian.ridge"), empty for what is no field of it.
  std::function<std::string(std::string_view field)> model_field;

  // What the options cost, with all that is kept to decode them, bytes.
  int64_t options_bytes = 0;
  // Applied to all errors of MakeFitWork and of the work that it makes.
  PathMapper at_path;

  FitSource source;  // taken
  Storage storage = Storage::kFloat64;

  // How to fit. With start kGiven the parameters come from exactly one of the next two, and `given`
  // is filled in here.
  FitOptions options;
  // Start parameters in the layout that is passed; paths of its errors are kept.
  std::function<absl::StatusOr<std::vector<double>>(const Layout& layout)> start_parameters;
  std::string start_model;              // the version to start from, any form of a model reference
  std::optional<UpdateRequest> update;  // with start_model

  std::string model_id;  // empty: the job's id; for an update, the model that it updates
  // What the new version keeps of the specification, and who made it; opaque.
  std::string spec;
  // `spec` for what was fitted. Null: `spec` as it is.
  std::function<std::string(const std::string& spec, const FittedSpec& fitted)> respecify;
  std::string server_version;
};

// What fits need of the server. All outlive the work.
struct FitEnvironment {
  DatasetStore* datasets = nullptr;
  ModelRegistry* registry = nullptr;
  Pool* pool = nullptr;
  // Working memory of all jobs: what needs more is refused before it is allocated.
  int64_t max_working_bytes = std::numeric_limits<int64_t>::max();
  std::stop_token stop = {};  // of making the work, not of the work
};

inline constexpr int kMaxRestarts = 100000;

// Components or states as `model` counts them, without noise, and core's name of that option.
struct NumberAsked {
  const char* field;
  int value;
};
NumberAsked NumberOf(const ModelOptions& model);

// Checks the ranges of what does not depend on data and model. INVALID_ARGUMENT by field.
absl::Status CheckFitRequest(const FitRequest& request);

// What a fit has found.
struct FittedModel {
  ModelOptions options;
  Summary summary;
  FitResult fit;
  Criteria criteria;
  Past past = {0, 0};  // of an update: what the model before counted for
};

class FitPlan {
 public:
  // Checks everything that can be known before running, for `request` (whose source is not looked
  // at) and `data`, in which what is learnt of its values is kept. What grows with the number of
  // components or parameters is made only once it is known to fit. Errors as MakeFitWork says,
  // Cancelled. Not the place for the result, which is the caller's to check.
  static absl::StatusOr<FitPlan> Make(FitRequest request, FitData& data,
                                      const FitEnvironment& environment);

  // Checks the values of every row, as Run does first: that they lie where the model has a density,
  // and that they can be stored as asked. What is allowed does not depend on the number of
  // components or their covariance structure. INVALID_ARGUMENT "data[<row>]: ..." and
  // FAILED_PRECONDITION. One pass with the threads of `pool`; none for a model that takes any row.
  // Cancelled when `stop` is requested.
  absl::Status CheckRows(Pool& pool, std::stop_token stop) const;

  const ModelOptions& options() const { return request_.model; }
  // As FitRequest's; the model that is updated where that names none.
  const std::string& model_id() const { return request_.model_id; }
  // As Predictor::NumbersOf.
  int64_t num_numbers() const { return num_numbers_; }
  // Memory that Run needs, and that the plan itself holds beside the data, bytes.
  int64_t working_bytes() const { return working_bytes_; }
  int64_t held_bytes() const;

  // Fits. `candidate` marks what is reported; -1: none. Cancelled soon after context.stop().
  absl::StatusOr<FittedModel> Run(JobContext& context, int candidate = -1) const;

  // The version that `fitted`, of `data` by job `job_id`, becomes.
  absl::StatusOr<ModelVersion> ToVersion(FittedModel fitted, const FitData& data,
                                         const std::string& job_id) const;

 private:
  FitPlan(FitRequest request, Table table)
      : request_(std::move(request)), table_(std::move(table)) {}
  absl::StatusOr<std::unique_ptr<Model>> NewModel(const Summary& summary) const;

  FitRequest request_;
  Table table_;
  Summary judged_;      // of the table
  bool exact_ = false;  // as Judgement's
  Past past_ = {0, 0};  // of an update
  int64_t num_numbers_ = 0;
  int64_t working_bytes_ = 0;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_PLAN_H_
