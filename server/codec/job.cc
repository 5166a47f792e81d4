#include "server/codec/job.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "server/codec/fields.h"
#include "server/codec/fit_spec.h"
#include "server/codec/inline_table.h"
#include "server/codec/model_spec.h"
#include "server/codec/parameters.h"
#include "server/codec/report.h"
#include "server/digest.h"
#include "server/errors.h"
#include "server/names.h"
#include "server/ops/version.h"

namespace emserve::server {
namespace {

constexpr std::array kStates = {
    std::pair(v1::JOB_STATE_PENDING, JobState::kPending),
    std::pair(v1::JOB_STATE_RUNNING, JobState::kRunning),
    std::pair(v1::JOB_STATE_CANCELLING, JobState::kCancelling),
    std::pair(v1::JOB_STATE_SUCCEEDED, JobState::kSucceeded),
    std::pair(v1::JOB_STATE_FAILED, JobState::kFailed),
    std::pair(v1::JOB_STATE_CANCELLED, JobState::kCancelled),
};

v1::JobState Encode(JobState state) {
  for (const auto& [wire, domain] : kStates) {
    if (domain == state) return wire;
  }
  return v1::JOB_STATE_UNSPECIFIED;
}

// The request's name of the field that an error of the domain is about. The domain speaks of a
// FitSpec or PredictSpec, but for the rows ("data[3]") and the ids, which stand beside it.
absl::Status AtPath(const absl::Status& status, const std::string& path, const std::string& data) {
  if (!absl::IsInvalidArgument(status) && !absl::IsFailedPrecondition(status) &&
      !absl::IsOutOfRange(status)) {
    return status;
  }
  const std::string message(status.message());
  const std::string field(FieldPath(message));
  if (field.empty() || field == "job_id" || field == "request_id") return status;
  constexpr std::string_view kWeights = "data.weights";
  if (field.starts_with(kWeights)) {
    return Reworded(status, absl::StrCat(path, ".weight_column", message.substr(kWeights.size())));
  }
  if (field == "data" || field.starts_with("data[") || field.starts_with("data.")) {
    return Reworded(status, absl::StrCat(data, message.substr(4)));
  }
  return Reworded(status, absl::StrCat(path, ".", message));
}

// A request that the table keeps: what all kinds of jobs share.
NewJob CommonOf(const std::string& job_id, const std::string& request_id, bool validate_only,
                const google::protobuf::Message& request, const google::protobuf::Message& spec) {
  NewJob job;
  job.id = job_id;
  job.request_id = request_id;
  if (!request_id.empty()) job.request_digest = Sha256Hex(request.SerializeAsString());
  job.validate_only = validate_only;
  job.spec = spec.SerializeAsString();
  return job;
}

absl::StatusOr<FitRequest> DecodeFitSpec(const std::shared_ptr<const v1::FitSpec>& spec,
                                         const v1::InlineTable* inline_data,
                                         std::shared_ptr<const google::protobuf::Message> request,
                                         const JobEnvironment& environment,
                                         const std::string& path) {
  FitRequest fit;
  absl::StatusOr<ModelOptions> model = DecodeModelSpec(spec->model(), absl::StrCat(path, ".model"));
  if (!model.ok()) return model.status();
  fit.model = *std::move(model);
  fit.model_field = [options = fit.model](std::string_view field) {
    return ModelSpecField(options, field);
  };
  absl::StatusOr<FitOptions> options = DecodeFitOptions(*spec, path);
  if (!options.ok()) return options.status();
  fit.options = *std::move(options);
  if (spec->start().has_parameters()) {
    fit.start_parameters = [spec](const Layout& layout) {
      return DecodeParameters(spec->start().parameters(), layout, "start.parameters");
    };
  }
  fit.start_model = spec->start().model();
  if (spec->dataset().empty() == (inline_data == nullptr)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".dataset: got ",
                                                   inline_data == nullptr
                                                       ? "neither a dataset nor inline_data"
                                                       : "both a dataset and inline_data",
                                                   ", must be one of them"));
  }
  fit.source.dataset = spec->dataset();
  if (inline_data != nullptr) {
    absl::StatusOr<InlineTableData> table = DecodeInlineTable(
        *inline_data, request, {.columns = {}, .max_bytes = environment.max_inline_bytes},
        "inline_data");
    if (!table.ok()) return table.status();
    table->held_bytes = static_cast<int64_t>(request->SpaceUsedLong());
    fit.source.inline_data = *std::move(table);
  }
  fit.source.columns.assign(spec->columns().begin(), spec->columns().end());
  fit.source.weight_column = spec->weight_column();
  fit.model_id = spec->model_id();
  v1::FitSpec kept = *spec;
  CompleteFitSpec(fit.model, fit.options, kept);
  fit.spec = kept.SerializeAsString();
  fit.server_version = kVersion;
  return fit;
}

// Decodes now, so that a malformed request is refused before it takes a place; makes the work when
// the table asks.
absl::StatusOr<std::function<absl::StatusOr<std::unique_ptr<Work>>(const std::string&)>> FitMaker(
    const std::shared_ptr<const v1::FitSpec>& spec, const v1::InlineTable* inline_data,
    std::shared_ptr<const google::protobuf::Message> request, const JobEnvironment& environment,
    const std::string& path) {
  absl::StatusOr<FitRequest> fit =
      DecodeFitSpec(spec, inline_data, std::move(request), environment, path);
  if (!fit.ok()) return fit.status();
  const std::string data = inline_data != nullptr ? "inline_data" : absl::StrCat(path, ".dataset");
  auto shared = std::make_shared<FitRequest>(*std::move(fit));
  return [shared, environment, path,
          data](const std::string& job_id) -> absl::StatusOr<std::unique_ptr<Work>> {
    absl::StatusOr<std::unique_ptr<Work>> work = MakeFitWork(
        std::move(*shared), {environment.datasets, environment.registry, environment.pool}, job_id);
    if (!work.ok()) return AtPath(work.status(), path, data);
    return work;
  };
}

absl::StatusOr<std::optional<absl::Duration>> DecodeTimeout(
    bool present, const google::protobuf::Duration& timeout, const std::string& path) {
  if (!present) return std::optional<absl::Duration>();
  absl::StatusOr<absl::Duration> duration = DecodePositiveDuration(timeout, path);
  if (!duration.ok()) return duration.status();
  return std::optional<absl::Duration>(*duration);
}

}  // namespace

absl::StatusOr<JobState> DecodeJobState(v1::JobState state, const std::string& path) {
  for (const auto& [wire, domain] : kStates) {
    if (wire == state) return domain;
  }
  return UnknownEnum(path, *v1::JobState_descriptor(), state);
}

absl::StatusOr<PredictionOutputs> DecodeOutputs(const google::protobuf::RepeatedField<int>& outputs,
                                                const std::string& path) {
  PredictionOutputs out;
  for (int i = 0; i < outputs.size(); ++i) {
    switch (outputs[i]) {
      case v1::PREDICTION_OUTPUT_LABELS:
        out.labels = true;
        break;
      case v1::PREDICTION_OUTPUT_POSTERIORS:
        out.posteriors = true;
        break;
      case v1::PREDICTION_OUTPUT_LOG_DENSITIES:
        out.log_densities = true;
        break;
      default:
        return UnknownEnum(absl::StrCat(path, "[", i, "]"), *v1::PredictionOutput_descriptor(),
                           outputs[i]);
    }
  }
  if (!out.any()) out.labels = true;
  return out;
}

absl::StatusOr<NewJob> DecodeCreateJob(v1::CreateJobRequest message,
                                       const JobEnvironment& environment) {
  const auto request = std::make_shared<const v1::CreateJobRequest>(std::move(message));
  const v1::Job& job = request->job();
  absl::StatusOr<std::optional<absl::Duration>> timeout =
      DecodeTimeout(job.has_timeout(), job.timeout(), "job.timeout");
  if (!timeout.ok()) return timeout.status();
  v1::Job kept;
  NewJob out;
  switch (job.spec_case()) {
    case v1::Job::kFit: {
      const std::shared_ptr<const v1::FitSpec> spec(request, &job.fit());
      auto maker = FitMaker(spec, request->has_inline_data() ? &request->inline_data() : nullptr,
                            request, environment, "job.fit");
      if (!maker.ok()) return maker.status();
      *kept.mutable_fit() = job.fit();
      out = CommonOf(request->job_id(), request->request_id(), request->validate_only(), *request,
                     kept);
      out.make_work = *std::move(maker);
      break;
    }
    case v1::Job::kPredict: {
      if (request->has_inline_data()) {
        return absl::InvalidArgumentError(
            "inline_data: got a table with a prediction, must be absent; use "
            "PredictionService.Predict");
      }
      absl::StatusOr<PredictionOutputs> outputs =
          DecodeOutputs(job.predict().outputs(), "job.predict.outputs");
      if (!outputs.ok()) return outputs.status();
      PredictRequest predict{.model = job.predict().model(),
                             .dataset = job.predict().dataset(),
                             .outputs = *outputs,
                             .output_dataset_id = job.predict().output_dataset_id()};
      *kept.mutable_predict() = job.predict();
      out = CommonOf(request->job_id(), request->request_id(), request->validate_only(), *request,
                     kept);
      out.make_work = [predict, environment](
                          const std::string& job_id) -> absl::StatusOr<std::unique_ptr<Work>> {
        absl::StatusOr<std::unique_ptr<Work>> work = MakePredictWork(
            predict, {environment.datasets, environment.registry, environment.pool}, job_id);
        if (!work.ok()) return AtPath(work.status(), "job.predict", "job.predict.dataset");
        return work;
      };
      break;
    }
    case v1::Job::SPEC_NOT_SET:
      return absl::InvalidArgumentError("job.spec: got none, must be fit or predict");
  }
  out.timeout = *timeout;
  return out;
}

absl::StatusOr<NewJob> DecodeFit(v1::FitRequest message, const JobEnvironment& environment) {
  const auto request = std::make_shared<const v1::FitRequest>(std::move(message));
  absl::StatusOr<std::optional<absl::Duration>> timeout =
      DecodeTimeout(request->has_timeout(), request->timeout(), "timeout");
  if (!timeout.ok()) return timeout.status();
  const std::shared_ptr<const v1::FitSpec> spec(request, &request->fit());
  auto maker = FitMaker(spec, request->has_inline_data() ? &request->inline_data() : nullptr,
                        request, environment, "fit");
  if (!maker.ok()) return maker.status();
  v1::Job kept;
  *kept.mutable_fit() = request->fit();
  NewJob out = CommonOf(request->job_id(), request->request_id(), false, *request, kept);
  out.make_work = *std::move(maker);
  out.timeout = *timeout;
  return out;
}

void EncodeJob(const JobSnapshot& job, v1::Job& out) {
  // The specification as the client gave it; its bytes are our own.
  if (!out.ParseFromString(job.spec)) out.Clear();
  out.set_name(JobName(job.id));
  out.set_state(Encode(job.state));
  if (job.timeout.has_value()) EncodeDuration(*job.timeout, *out.mutable_timeout());
  EncodeTime(job.create_time, *out.mutable_create_time());
  if (job.start_time.has_value()) EncodeTime(*job.start_time, *out.mutable_start_time());
  if (job.end_time.has_value()) EncodeTime(*job.end_time, *out.mutable_end_time());
  if (!job.error.ok()) *out.mutable_error() = ToProto(job.error);
  v1::JobProgress& progress = *out.mutable_progress();
  progress.set_restart(job.progress.restart);
  progress.set_iteration(job.progress.iteration);
  progress.set_objective(job.progress.objective);
  progress.set_rows_done(job.progress.rows_done);
  progress.set_num_rows(job.progress.num_rows);
  if (const auto* fit = std::get_if<FitJobResult>(&job.result)) {
    out.mutable_fit_result()->set_model_version(fit->model_version);
    EncodeReport(*fit->report, *out.mutable_fit_result()->mutable_report());
  } else if (const auto* predict = std::get_if<PredictJobResult>(&job.result)) {
    out.mutable_predict_result()->set_dataset(predict->dataset);
    out.mutable_predict_result()->set_model_version(predict->model_version);
  }
  out.set_last_sequence(job.last_sequence);
}

void EncodeEvent(const JobEvent& event, v1::JobEvent& out) {
  out.set_sequence(event.sequence);
  EncodeTime(event.time, *out.mutable_event_time());
  if (const auto* iteration = std::get_if<IterationEvent>(&event.what)) {
    v1::IterationEvent& to = *out.mutable_iteration();
    to.set_restart(iteration->restart);
    to.set_iteration(iteration->iteration);
    to.set_objective(iteration->objective);
    if (iteration->change.has_value()) to.set_change(*iteration->change);
    to.set_seconds(iteration->seconds);
  } else if (const auto* state = std::get_if<StateChangeEvent>(&event.what)) {
    out.mutable_state_change()->set_state(Encode(state->state));
  } else if (const auto* warning = std::get_if<WarningEvent>(&event.what)) {
    out.mutable_warning()->set_reason(warning->reason);
    out.mutable_warning()->set_message(warning->message);
    out.mutable_warning()->set_restart(warning->restart);
  }
}

}  // namespace emserve::server
