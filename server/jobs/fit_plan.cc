#include "server/jobs/fit_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/data/narrow.h"
#include "core/data/summary.h"
#include "core/em/update.h"
#include "core/levels.h"
#include "core/select/criteria.h"
#include "server/errors.h"
#include "server/jobs/capabilities.h"
#include "server/jobs/fit_memory.h"
#include "server/jobs/warm_start.h"
#include "server/names.h"

namespace emserve::server {
namespace {

std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Core's paths inside the model's options become those of the request; columns are the request's
// own.
absl::Status OfModel(const absl::Status& status, const FitRequest& request) {
  if (status.ok()) return status;
  const std::string_view message = MessageOf(status);
  const std::string_view path = PathOf(message);
  if (path.starts_with("columns")) return status;
  const std::string field =
      request.model_field == nullptr ? std::string(path) : request.model_field(path);
  if (field.empty()) return status;
  return Reworded(status, absl::StrCat("model.", field, std::string(message.substr(path.size()))));
}

// Where core's fit options stand in a FitSpec; the others stand at its top.
constexpr std::array kPlaces = {
    std::pair("short_runs", "start."),
    std::pair("short_iterations", "start."),
    std::pair("max_iterations", "stopping."),
    std::pair("relative_tolerance", "stopping."),
    std::pair("absolute_tolerance", "stopping."),
    std::pair("parameter_tolerance", "stopping."),
    std::pair("aitken_tolerance", "stopping."),
    std::pair("time_budget", "stopping."),
    std::pair("stochastic_iterations", "variant."),
    std::pair("initial_inverse_temperature", "variant."),
    std::pair("temperature_growth", "variant."),
    std::pair("stepwise_epochs", "variant."),
    std::pair("stepwise_batch_rows", "variant."),
    std::pair("stepwise_exponent", "variant."),
    std::pair("stepwise_delay", "variant."),
};

absl::Status OfOptions(const absl::Status& status) {
  if (status.ok()) return status;
  const std::string_view path = PathOf(MessageOf(status));
  for (const auto& [field, place] : kPlaces) {
    if (path != field) continue;
    return Reworded(status, absl::StrCat(place, std::string(status.message())));
  }
  return status;
}

// What the model itself refuses too, before a table with a label per component is made of it.
absl::Status CheckComponents(const FitRequest& request, const FitData& data) {
  const auto [field, number] = NumberOf(request.model);
  if (!(number >= 1)) {
    return OfModel(InvalidArgument(field, absl::StrCat("got ", number, ", must be at least 1")),
                   request);
  }
  if (number <= data.cells.num_rows) return absl::OkStatus();
  return OfModel(absl::FailedPreconditionError(absl::StrCat(
                     field, ": got ", number, ", must be at most ", data.cells.num_rows,
                     ", the number of rows with positive weight; use fewer of them or more rows")),
                 request);
}

// Hands the driver's reports to the job.
class ReportToJob final : public Observer {
 public:
  ReportToJob(JobContext& context, int candidate) : context_(context), candidate_(candidate) {}
  void OnIteration(const Progress& progress) override {
    context_.ReportIteration({.restart = progress.restart,
                              .iteration = progress.iteration,
                              .objective = progress.objective,
                              .change = progress.change,
                              .phase = progress.phase,
                              .candidate = candidate_});
  }
  void OnWarning(int restart, const std::string& reason, const std::string& message) override {
    context_.ReportWarning({reason, message, restart, candidate_});
  }

 private:
  JobContext& context_;
  const int candidate_;
};

// Restarts warn as they go, and of many restarts not every warning is kept. What was repaired in
// the result is therefore said once more, in one warning of its own reason.
void WarnOfRepairs(const FitResult& fit, int candidate, JobContext& context) {
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
  context.ReportWarning({"RESULT_REPAIRED", std::move(message), fit.best.restart, candidate});
}

void WarnOfLoneRows(const Model& model, const Table& table, int candidate, JobContext& context) {
  const bool lone = model.chain() != nullptr && model.num_components() > 1 &&
                    table.num_rows() > 1 && table.sequences() != nullptr &&
                    table.sequences()->size() == table.num_rows();
  if (!lone) return;
  context.ReportWarning({"NO_TRANSITIONS",
                         "every sequence has one row, which says nothing about what follows it; "
                         "are the sequences cut by the right column?",
                         /*restart=*/-1, candidate});
}

template <typename T>
std::vector<T> FirstOf(std::vector<T> all) {
  if (all.size() > FitReport::kMaxReported) all.resize(FitReport::kMaxReported);
  return all;
}

int64_t TotalEvaluations(const FitResult& fit) {
  int64_t total = 0;
  for (const RestartOutcome& restart : fit.restarts) total += restart.evaluations;
  return total;
}

}  // namespace

NumberAsked NumberOf(const ModelOptions& model) {
  return std::visit(
      [](const auto& options) -> NumberAsked {
        if constexpr (requires { options.num_states; }) {
          return {"num_states", options.num_states};
        } else {
          return {"num_components", options.num_components};
        }
      },
      model);
}

absl::Status CheckFitRequest(const FitRequest& request) {
  const FitOptions& options = request.options;
  if (!(options.restarts <= kMaxRestarts) || !(options.restarts >= 1)) {
    return InvalidArgument("restarts",
                           absl::StrCat("got ", options.restarts, ", must be 1 to ", kMaxRestarts));
  }
  const bool given = options.start == StartMethod::kGiven;
  const bool from_parameters = request.start_parameters != nullptr;
  const bool from_model = !request.start_model.empty();
  if (given != (from_parameters || from_model) || (from_parameters && from_model)) {
    return InvalidArgument(
        "start",
        "got no start or more than one, must be a method, parameters or the name of a model");
  }
  if (absl::Status status = CheckFitOptions(options); !status.ok()) return OfOptions(status);
  if (!request.update.has_value()) return absl::OkStatus();
  if (!from_model) {
    return InvalidArgument("update", "got one without start.model, must have the model to update");
  }
  const double weight = request.update->weight.value_or(1);
  if (weight > 0 && std::isfinite(weight)) return absl::OkStatus();
  return InvalidArgument("update.weight",
                         absl::StrCat("got ", weight, ", must be positive and finite"));
}

int64_t FitPlan::held_bytes() const {
  size_t bytes = request_.spec.size() + request_.options.given.size() * sizeof(double);
  for (const std::string& name : table_.names()) bytes += sizeof(std::string) + name.size();
  const size_t num_figures = judged_.mean.size() + judged_.variance.size() +
                             judged_.minimum.size() + judged_.maximum.size() +
                             judged_.observed.size();
  return request_.options_bytes + static_cast<int64_t>(bytes + num_figures * sizeof(double));
}

absl::StatusOr<FitPlan> FitPlan::Make(FitRequest request, FitData& data,
                                      const FitEnvironment& environment) {
  if (absl::Status status = CheckComponents(request, data); !status.ok()) return status;
  absl::StatusOr<Table> table = TableFor(data, NumComponents(request.model));
  if (!table.ok()) return table.status();
  const int num_threads = environment.pool->num_threads();
  absl::Status room =
      CheckWorkingBytes(BlockBytes(*table, num_threads), environment.max_working_bytes);
  if (!room.ok()) return room;
  absl::StatusOr<Judgement> judged =
      JudgeData(data, *table, NumComponents(request.model), *environment.pool, environment.stop);
  if (!judged.ok()) return judged.status();
  std::vector<int64_t> levels;
  for (const ColumnSchema& column : data.columns) {
    levels.push_back(static_cast<int64_t>(column.levels.size()));
  }
  absl::StatusOr<ModelOptions> options =
      WithLevels(request.model, levels, judged->summary, data.layout.names);
  if (!options.ok()) return OfModel(options.status(), request);
  // What is kept with the parameters must not depend on this table any more.
  options = Resolved(*options, judged->summary, data.layout.names);
  if (!options.ok()) return OfModel(options.status(), request);
  request.model = *std::move(options);

  FitPlan plan(std::move(request), *std::move(table));
  FitRequest& kept = plan.request_;
  plan.exact_ = judged->exact;
  plan.judged_ = std::move(judged->summary);
  // The bare model allocates nothing of the size of its parameters.
  absl::StatusOr<std::unique_ptr<Model>> model =
      MakeModel(Bare(kept.model), plan.judged_, plan.table_.names());
  if (!model.ok()) return OfModel(model.status(), kept);
  plan.num_numbers_ = Predictor::NumbersOf(**model);
  plan.working_bytes_ = FitBytes(**model, plan.table_, kept, num_threads);
  room = CheckWorkingBytes(plan.working_bytes_, environment.max_working_bytes);
  if (!room.ok()) return room;
  absl::Status status = CheckCapabilities(kept, data, **model);
  if (!status.ok()) return status;
  model = MakeModel(kept.model, plan.judged_, plan.table_.names());
  if (!model.ok()) return OfModel(model.status(), kept);
  if (kept.options.start == StartMethod::kGiven) {
    absl::StatusOr<WarmStart> start = FindWarmStart(kept, **model, data, *environment.registry);
    if (!start.ok()) return start.status();
    kept.options.given = std::move(start->theta);
    kept.start_parameters = nullptr;  // what it holds is no longer needed
    kept.start_model = std::move(start->version);
    if (kept.update.has_value() && kept.model_id.empty()) kept.model_id = start->model_id;
    plan.past_ = start->past;
  }
  return plan;
}

absl::Status FitPlan::CheckRows(Pool& pool, std::stop_token stop) const {
  Pool::Share share(pool);
  if (request_.storage == Storage::kFloat32) {
    absl::Status status = CheckNarrow(table_, judged_, share, stop);
    if (!status.ok()) return status;
  }
  const absl::StatusOr<std::unique_ptr<Model>> model =
      MakeModel(Bare(request_.model), judged_, table_.names());
  if (!model.ok()) return OfModel(model.status(), request_);
  return emserve::CheckRows(**model, table_, share, std::move(stop));
}

absl::StatusOr<std::unique_ptr<Model>> FitPlan::NewModel(const Summary& summary) const {
  absl::StatusOr<std::unique_ptr<Model>> model = MakeModel(request_.model, summary, table_.names());
  if (!model.ok()) return OfModel(model.status(), request_);
  if (!request_.update.has_value()) return model;
  return WithPast(*std::move(model), request_.options.given, past_);
}

absl::StatusOr<FittedModel> FitPlan::Run(JobContext& context, int candidate) const {
  const absl::StatusOr<Summary> summary =
      exact_ ? judged_ : Summarize(table_, context.share(), context.stop());
  if (!summary.ok()) return summary.status();
  const absl::StatusOr<std::unique_ptr<Model>> model = NewModel(*summary);
  if (!model.ok()) return model.status();
  const absl::StatusOr<Table> table =
      request_.storage == Storage::kFloat32
          ? NarrowToFloat32(table_, *summary, context.share(), context.stop())
          : table_;
  if (!table.ok()) return table.status();

  ReportToJob observer(context, candidate);
  RunOptions run;
  run.share = &context.share();
  run.stop = context.stop();
  run.observer = &observer;
  run.clock = context.clock();
  WarnOfLoneRows(**model, *table, candidate, context);
  absl::StatusOr<FitResult> fit = Fit(**model, *table, *summary, request_.options, run);
  if (!fit.ok()) return fit.status();
  absl::StatusOr<Criteria> criteria =
      ComputeCriteria(**model, *table, fit->theta, fit->log_likelihood, summary->total_weight,
                      context.share(), context.stop());
  if (!criteria.ok()) return criteria.status();
  WarnOfRepairs(*fit, candidate, context);
  Past past = past_;
  if ((*model)->chain() == nullptr) past.num_sequences = 0;
  return FittedModel{request_.model, *summary, *std::move(fit), *std::move(criteria), past};
}

absl::StatusOr<ModelVersion> FitPlan::ToVersion(FittedModel fitted, const FitData& data,
                                                const std::string& job_id) const {
  FitResult& fit = fitted.fit;
  auto report = std::make_shared<FitReport>();
  report->objective = fit.objective;
  report->log_likelihood = fit.log_likelihood;
  report->log_prior = fit.log_prior;
  report->total_iterations = fit.total_iterations;
  report->total_evaluations = TotalEvaluations(fit);
  report->past = fitted.past;
  report->best = std::move(fit.best);
  report->criteria = std::move(fitted.criteria);
  report->repairs = std::move(fit.repairs);
  report->restarts = FirstOf(std::move(fit.restarts));
  report->optima = FirstOf(std::move(fit.optima));

  ModelVersion version;
  version.options = std::move(fitted.options);
  version.columns = data.columns;
  version.summary = std::move(fitted.summary);
  version.theta = std::move(fit.theta);
  version.report = std::move(report);
  version.spec = request_.spec;
  if (request_.respecify != nullptr) {
    FittedSpec specified{version.options, request_.start_model, std::nullopt};
    if (request_.update.has_value()) specified.update_weight = past_.num_observations;
    version.spec = request_.respecify(request_.spec, specified);
  }
  version.job = job_id;
  version.dataset_sha256 = data.sha256;
  version.server_version = request_.server_version;
  absl::StatusOr<std::shared_ptr<const Predictor>> predictor =
      Predictor::Create(version.options, version.summary, table_.names(), version.theta);
  if (!predictor.ok()) return predictor.status();
  version.predictor = *std::move(predictor);
  return version;
}

}  // namespace emserve::server
