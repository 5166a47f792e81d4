#include "server/jobs/fit_work.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/data/summary.h"
#include "core/select/criteria.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

// The head "<field path>" of a message "<field path>: ..."; empty if there is none.
std::string_view PathOf(std::string_view message) {
  return message.substr(0, std::min(message.find(": "), message.size()));
}

absl::Status WithPrefix(const absl::Status& status, std::string_view prefix) {
  return Reworded(status, absl::StrCat(std::string(prefix), std::string(status.message())));
}

// Core's paths inside the model's options become those of the request; columns are the request's
// own.
absl::Status OfModel(const absl::Status& status, const FitRequest& request) {
  if (status.ok()) return status;
  const absl::string_view text = status.message();
  const std::string_view message(text.data(), text.size());
  const std::string_view path = PathOf(message);
  if (path.starts_with("columns")) return status;
  const std::string field =
      request.model_field == nullptr ? std::string(path) : request.model_field(path);
  if (field.empty()) return status;
  return Reworded(status, absl::StrCat("model.", field, std::string(message.substr(path.size()))));
}

absl::Status CheckTolerance(const char* path, double value) {
  if (value >= 0 && std::isfinite(value)) return absl::OkStatus();
  return InvalidArgument(path, absl::StrCat("got ", value, ", must be finite and at least 0"));
}

// The ranges of core's options, known before a job is queued.
absl::Status CheckOptions(const FitRequest& request) {
  const FitOptions& options = request.options;
  if (!(options.restarts >= 1 && options.restarts <= kMaxRestarts)) {
    return InvalidArgument("restarts",
                           absl::StrCat("got ", options.restarts, ", must be 1 to ", kMaxRestarts));
  }
  if (!(options.max_iterations >= 0)) {
    return InvalidArgument("stopping.max_iterations",
                           absl::StrCat("got ", options.max_iterations, ", must be at least 0"));
  }
  absl::Status status = CheckTolerance("stopping.relative_tolerance", options.relative_tolerance);
  if (status.ok()) {
    status = CheckTolerance("stopping.absolute_tolerance", options.absolute_tolerance);
  }
  if (!status.ok()) return status;
  if (!(options.time_budget > absl::ZeroDuration())) {
    return InvalidArgument(
        "stopping.time_budget",
        absl::StrCat("got ", absl::FormatDuration(options.time_budget), ", must be positive"));
  }
  const bool given = options.start == StartMethod::kGiven;
  const bool from_parameters = request.start_parameters != nullptr;
  const bool from_model = !request.start_model.empty();
  if (given != (from_parameters || from_model) || (from_parameters && from_model)) {
    return InvalidArgument(
        "start",
        "got no start or more than one, must be a method, parameters or the name of a model");
  }
  if (given && options.restarts != 1) {
    return InvalidArgument("restarts", absl::StrCat("got ", options.restarts,
                                                    ", must be 1 or absent with a given start"));
  }
  return absl::OkStatus();
}

// Parameters of a stored version as a start for `model`.
absl::StatusOr<std::vector<double>> ParametersOf(const ModelVersion& version, const Model& model,
                                                 const FitRequest& request, const FitData& data) {
  const std::string got = absl::StrCat("got ", version.name(), ", ");
  if (FamilyName(version.options) != FamilyName(request.model)) {
    return InvalidArgument("start.model",
                           absl::StrCat(got, "a ", std::string(FamilyName(version.options)),
                                        ", must be a ", std::string(FamilyName(request.model))));
  }
  if (version.column_names() != data.table->names()) {
    return InvalidArgument("start.model", absl::StrCat(got,
                                                       "a model of other columns, must be one "
                                                       "of the same columns in the same order"));
  }
  const auto same = [](const ArraySpec& a, const ArraySpec& b) {
    return a.name == b.name && a.shape == b.shape;
  };
  const std::vector<ArraySpec>& theirs = version.predictor->model().parameters().arrays();
  const std::vector<ArraySpec>& ours = model.parameters().arrays();
  if (!SameStructure(version.options, request.model) ||
      !std::equal(theirs.begin(), theirs.end(), ours.begin(), ours.end(), same)) {
    return InvalidArgument("start.model",
                           absl::StrCat(got,
                                        "a model with other parameters, must have the same "
                                        "number of components and covariance structure"));
  }
  return version.theta;
}

absl::StatusOr<std::vector<double>> StartOf(const FitRequest& request, const Model& model,
                                            const FitData& data, const ModelRegistry& registry) {
  if (request.start_parameters != nullptr) {
    absl::StatusOr<std::vector<double>> given = request.start_parameters(model.parameters());
    if (!given.ok()) return given;
    if (absl::Status status = model.Validate(*given); !status.ok()) {
      return WithPrefix(status, "start.parameters.");
    }
    return given;
  }
  const absl::StatusOr<ResolvedVersion> start =
      registry.Resolve("start.model", request.start_model);
  if (!start.ok()) return start.status();
  absl::StatusOr<std::vector<double>> given = ParametersOf(*start->version, model, request, data);
  if (!given.ok()) return given;
  if (absl::Status status = model.Validate(*given); !status.ok()) {
    return WithPrefix(status, "start.model: ");
  }
  return given;
}

// Bytes that Fit will use: per concurrent restart the statistics of every lane, prepared parameters
// and a block per thread, and the sample from which starts are drawn.
int64_t WorkingBytes(const Model& model, const FitData& data, int restarts, int num_threads) {
  const Partition partition = Partition::Make(data.table->num_rows(), model.doubles_per_row());
  const bool parallel_restarts = restarts > 1 && partition.num_lanes < 2 * num_threads;
  const double concurrent = parallel_restarts ? std::min(restarts, num_threads) : 1;
  const auto parameters = static_cast<double>(model.parameters().size());
  const double per_restart =
      static_cast<double>(model.statistics().size()) * partition.num_lanes + 6 * parameters +
      2.0 * num_threads * partition.block_rows * static_cast<double>(model.doubles_per_row());
  const double sampled = std::min(static_cast<double>(data.table->num_rows()),
                                  std::max(16384.0, 128.0 * model.num_components()));
  const double doubles =
      concurrent * (per_restart + sampled * (4.0 + data.table->num_columns())) + 3 * parameters;
  constexpr double kMost = 4e18;  // within int64
  return static_cast<int64_t>(std::min(doubles * sizeof(double), kMost));
}

// Hands the driver's reports to the job.
class ReportToJob final : public Observer {
 public:
  explicit ReportToJob(JobContext& context) : context_(context) {}
  void OnIteration(const Progress& progress) override {
    context_.ReportIteration({.restart = progress.restart,
                              .iteration = progress.iteration,
                              .objective = progress.objective,
                              .change = progress.change});
  }
  void OnWarning(int restart, const std::string& reason, const std::string& message) override {
    context_.ReportWarning({reason, message, restart});
  }

 private:
  JobContext& context_;
};

// Restarts warn as they go, and of many restarts not every warning is kept. What was repaired in
// the result is therefore said once more, in one warning of its own reason.
void WarnOfRepairs(const FitResult& fit, JobContext& context) {
  if (fit.repairs.empty()) return;
  std::map<std::string_view, const Repair*> largest;  // by reason
  for (const Repair& repair : fit.repairs) {
    const Repair*& known = largest[repair.reason];
    if (known == nullptr || repair.amount > known->amount) known = &repair;
  }
  std::string message = "the returned parameters are repaired ones:";
  for (const auto& [reason, repair] : largest) {
    absl::StrAppend(&message, " ", repair->reason, " (amount ", repair->amount, ", ",
                    repair->component < 0 ? std::string("all components")
                                          : absl::StrCat("component ", repair->component),
                    ")");
  }
  context.ReportWarning({"RESULT_REPAIRED", std::move(message), fit.best.restart});
}

template <typename T>
std::vector<T> FirstOf(std::vector<T> all) {
  if (all.size() > FitReport::kMaxReported) all.resize(FitReport::kMaxReported);
  return all;
}

class FitWork final : public Work {
 public:
  FitWork(FitRequest request, FitData data, ModelRegistry& registry, std::string job_id,
          int64_t held_bytes, int64_t working_bytes)
      : request_(std::move(request)),
        data_(std::move(data)),
        registry_(registry),
        job_id_(std::move(job_id)),
        held_bytes_(held_bytes),
        working_bytes_(working_bytes) {}

  int64_t held_bytes() const override { return held_bytes_; }
  int64_t working_bytes() const override { return working_bytes_; }

  absl::StatusOr<JobResult> Run(JobContext& context) override {
    const Table& table = *data_.table;
    absl::StatusOr<Summary> summary = data_.summary.has_value()
                                          ? *data_.summary
                                          : Summarize(table, context.share(), context.stop());
    if (!summary.ok()) return summary.status();
    absl::StatusOr<std::unique_ptr<Model>> model =
        MakeModel(request_.model, *summary, table.names());
    if (!model.ok()) return OfModel(model.status(), request_);

    ReportToJob observer(context);
    RunOptions run;
    run.share = &context.share();
    run.stop = context.stop();
    run.observer = &observer;
    run.clock = context.clock();
    absl::StatusOr<FitResult> fit = Fit(**model, table, *summary, request_.options, run);
    if (!fit.ok()) return fit.status();
    const absl::StatusOr<Criteria> criteria =
        ComputeCriteria(**model, table, fit->theta, fit->log_likelihood, summary->total_weight,
                        context.share(), context.stop());
    if (!criteria.ok()) return criteria.status();
    WarnOfRepairs(*fit, context);
    absl::StatusOr<ResolvedVersion> version = Keep(*std::move(fit), *criteria, *summary);
    if (!version.ok()) return version.status();
    return FitJobResult{version->version->name(), version->version->report};
  }

 private:
  absl::StatusOr<ResolvedVersion> Keep(FitResult fit, const Criteria& criteria,
                                       const Summary& summary) {
    auto report = std::make_shared<FitReport>();
    report->objective = fit.objective;
    report->log_likelihood = fit.log_likelihood;
    report->log_prior = fit.log_prior;
    report->best = std::move(fit.best);
    report->total_iterations = fit.total_iterations;
    report->criteria = criteria;
    report->repairs = std::move(fit.repairs);
    report->restarts = FirstOf(std::move(fit.restarts));
    report->optima = FirstOf(std::move(fit.optima));

    ModelVersion version;
    version.options = request_.model;
    version.columns = data_.columns;
    version.summary = summary;
    version.theta = std::move(fit.theta);
    version.report = std::move(report);
    version.spec = request_.spec;
    version.job = job_id_;
    version.dataset_sha256 = data_.sha256;
    version.server_version = request_.server_version;
    absl::StatusOr<std::shared_ptr<const Predictor>> predictor =
        Predictor::Create(version.options, summary, data_.table->names(), version.theta);
    if (!predictor.ok()) return predictor.status();
    version.predictor = *std::move(predictor);
    return registry_.Add(request_.model_id, std::move(version));
  }

  const FitRequest request_;
  const FitData data_;
  ModelRegistry& registry_;
  const std::string job_id_;
  const int64_t held_bytes_;
  const int64_t working_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> MakeFitWork(FitRequest request,
                                                  const FitEnvironment& environment,
                                                  const std::string& job_id) {
  if (request.model_id.empty()) request.model_id = job_id;
  if (absl::Status status = CheckId("model_id", request.model_id); !status.ok()) return status;
  if (absl::Status status = CheckOptions(request); !status.ok()) return status;
  absl::StatusOr<FitData> data = FindData(std::move(request.source), *environment.datasets);
  if (!data.ok()) return data.status();
  const absl::StatusOr<Summary> summary = JudgeData(*data, *environment.pool);
  if (!summary.ok()) return summary.status();
  const absl::StatusOr<std::unique_ptr<Model>> model =
      MakeModel(request.model, *summary, data->table->names());
  if (!model.ok()) return OfModel(model.status(), request);
  const int64_t working_bytes =
      WorkingBytes(**model, *data, request.options.restarts, environment.pool->num_threads());
  absl::Status room =
      environment.registry->CheckRoom(request.model_id, (*model)->parameters().size());
  if (!room.ok()) return room;
  if (request.options.start == StartMethod::kGiven) {
    absl::StatusOr<std::vector<double>> given =
        StartOf(request, **model, *data, *environment.registry);
    if (!given.ok()) return given.status();
    request.options.given = *std::move(given);
    request.start_parameters = nullptr;  // what it holds is no longer needed
  }
  const int64_t held_bytes =
      data->inline_bytes +
      static_cast<int64_t>(request.spec.size() + request.options.given.size() * sizeof(double));
  return std::make_unique<FitWork>(std::move(request), *std::move(data), *environment.registry,
                                   job_id, held_bytes, working_bytes);
}

}  // namespace emserve::server
