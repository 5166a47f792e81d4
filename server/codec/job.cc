#include "server/codec/job.h"

#include <array>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/wire/status.h"
#include "server/codec/fields.h"
#include "server/codec/fit_request.h"
#include "server/codec/outputs.h"
#include "server/codec/report.h"
#include "server/codec/sequences.h"
#include "server/digest.h"
#include "server/errors.h"
#include "server/names.h"

namespace emserve::server {
namespace {

constexpr char kInlineData[] = "inline_data";

constexpr std::array kStates = {
    std::pair(v1::JOB_STATE_PENDING, JobState::kPending),
    std::pair(v1::JOB_STATE_RUNNING, JobState::kRunning),
    std::pair(v1::JOB_STATE_CANCELLING, JobState::kCancelling),
    std::pair(v1::JOB_STATE_SUCCEEDED, JobState::kSucceeded),
    std::pair(v1::JOB_STATE_FAILED, JobState::kFailed),
    std::pair(v1::JOB_STATE_CANCELLED, JobState::kCancelled),
};

constexpr std::array kPhases = {
    std::pair(v1::PHASE_CLIMB, Phase::kClimb),
    std::pair(v1::PHASE_SHORT_RUN, Phase::kShortRun),
    std::pair(v1::PHASE_STOCHASTIC, Phase::kStochastic),
    std::pair(v1::PHASE_ANNEALED, Phase::kAnnealed),
    std::pair(v1::PHASE_STEPWISE, Phase::kStepwise),
};

// "<field>: got <value> in row <row>, must be ..." of ": got <value>, must be ...".
std::string InRow(const std::string& field, std::string_view row, std::string_view rest) {
  const size_t end = std::min(rest.find(", must "), rest.size());
  return absl::StrCat(field, std::string(rest.substr(0, end)), " in row ", std::string(row),
                      std::string(rest.substr(end)));
}

// The request's name of the field that an error of the domain is about. The domain speaks of the
// specification at `path`, but for the rows ("data[3]", "rows[3]"), which are those of `data`,
// their weights and labels, which are columns that the FitSpec at `fit` names, and the ids, which
// stand beside it. Rows are no fields: but for those of a table inside the request they are named
// in the text.
absl::Status InRequest(const absl::Status& status, const std::string& path, const std::string& fit,
                       const std::string& data) {
  if (!absl::IsInvalidArgument(status) && !absl::IsFailedPrecondition(status) &&
      !absl::IsOutOfRange(status)) {
    return status;
  }
  const std::string message(status.message());
  const std::string field(FieldPath(message));
  if (field.empty() || field == "job_id" || field == "request_id") return status;
  const std::string_view rest = std::string_view(message).substr(field.size());
  // The subject and, in brackets, its row and its column if it has several.
  const size_t bracket = std::min(field.find('['), field.size());
  const std::string subject = field.substr(0, bracket);
  const std::string index =
      bracket == field.size() ? "" : field.substr(bracket + 1, field.size() - bracket - 2);
  for (const auto& [of_rows, of_fit] :
       {std::pair<std::string_view, std::string_view>("data.weights", ".weight_column"),
        {"data.labels", ".label_column"},
        {"data.plausibilities", ".plausibility_columns"}}) {
    if (subject != of_rows) continue;
    std::string column = absl::StrCat(fit, std::string(of_fit));
    if (index.empty()) return Reworded(status, absl::StrCat(column, std::string(rest)));
    const size_t comma = std::min(index.find(", "), index.size());
    if (comma < index.size()) absl::StrAppend(&column, "[", index.substr(comma + 2), "]");
    return Reworded(status, InRow(column, std::string_view(index).substr(0, comma), rest));
  }
  if (subject == "data" || subject == "rows") {
    if (index.empty()) return Reworded(status, absl::StrCat(data, std::string(rest)));
    if (data != kInlineData) return Reworded(status, InRow(data, index, rest));
    return Reworded(status, absl::StrCat(data, "[", index, "]", std::string(rest)));
  }
  if (field.starts_with("data.")) {
    return Reworded(status, absl::StrCat(data, message.substr(std::string_view("data").size())));
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

using WorkMaker = std::function<absl::StatusOr<std::unique_ptr<Work>>(const std::string&)>;

InlineData InlineOf(const v1::InlineTable* table,
                    std::shared_ptr<const google::protobuf::Message> request,
                    const JobEnvironment& environment) {
  return {table, std::move(request), environment.max_inline_bytes};
}

std::string DataPath(const v1::InlineTable* table, const std::string& path) {
  return table != nullptr ? kInlineData : absl::StrCat(path, ".dataset");
}

FitEnvironment EnvironmentOf(const JobEnvironment& environment) {
  return {.datasets = environment.datasets,
          .registry = environment.registry,
          .pool = environment.pool,
          .max_working_bytes = environment.max_working_bytes,
          .stop = environment.stop};
}

// Decodes now, so that a malformed request is refused before it takes a place; makes the work when
// the table asks.
absl::StatusOr<WorkMaker> FitMaker(const std::shared_ptr<const v1::FitSpec>& spec,
                                   const v1::InlineTable* inline_data,
                                   std::shared_ptr<const google::protobuf::Message> request,
                                   const JobEnvironment& environment, const std::string& path) {
  absl::StatusOr<FitRequest> fit =
      DecodeFitRequest(spec, InlineOf(inline_data, std::move(request), environment), path);
  if (!fit.ok()) return fit.status();
  fit->at_path = [path, data = DataPath(inline_data, path)](const absl::Status& status) {
    return InRequest(status, path, path, data);
  };
  auto shared = std::make_shared<FitRequest>(*std::move(fit));
  return [shared, environment](const std::string& job_id) {
    return MakeFitWork(std::move(*shared), EnvironmentOf(environment), job_id);
  };
}

// Likewise.
absl::StatusOr<WorkMaker> SweepMaker(const std::shared_ptr<const v1::SweepSpec>& spec,
                                     const v1::InlineTable* inline_data,
                                     std::shared_ptr<const google::protobuf::Message> request,
                                     const JobEnvironment& environment, const std::string& path) {
  absl::StatusOr<SweepRequest> sweep =
      DecodeSweepRequest(spec, InlineOf(inline_data, std::move(request), environment), path);
  if (!sweep.ok()) return sweep.status();
  const std::string base = absl::StrCat(path, ".base");
  sweep->base.at_path = [path, base,
                         data = DataPath(inline_data, base)](const absl::Status& status) {
    return InRequest(status, path, base, data);
  };
  auto shared = std::make_shared<SweepRequest>(*std::move(sweep));
  return [shared, environment](const std::string& job_id) {
    return MakeSweepWork(std::move(*shared), EnvironmentOf(environment), job_id);
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
    case v1::Job::kSweep: {
      const std::shared_ptr<const v1::SweepSpec> spec(request, &job.sweep());
      auto maker = SweepMaker(spec, request->has_inline_data() ? &request->inline_data() : nullptr,
                              request, environment, "job.sweep");
      if (!maker.ok()) return maker.status();
      *kept.mutable_sweep() = job.sweep();
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
          DecodeOutputs(NamedOutputs::Of(job.predict()), "job.predict.");
      if (!outputs.ok()) return outputs.status();
      std::optional<SequenceSource> sequences;
      if (job.predict().has_sequences()) {
        absl::StatusOr<SequenceSource> decoded =
            DecodeUnweightedSequences(job.predict().sequences(), "job.predict.sequences");
        if (!decoded.ok()) return decoded.status();
        sequences = *std::move(decoded);
      }
      PredictRequest predict{.model = job.predict().model(),
                             .dataset = job.predict().dataset(),
                             .outputs = *outputs,
                             .sequences = std::move(sequences),
                             .output_dataset_id = job.predict().output_dataset_id(),
                             .at_path = [](const absl::Status& status) {
                               return InRequest(status, "job.predict", "job.predict",
                                                "job.predict.dataset");
                             }};
      *kept.mutable_predict() = job.predict();
      out = CommonOf(request->job_id(), request->request_id(), request->validate_only(), *request,
                     kept);
      out.make_work = [predict, environment](const std::string& job_id) {
        return MakePredictWork(
            predict, {environment.datasets, environment.registry, environment.pool}, job_id);
      };
      break;
    }
    case v1::Job::SPEC_NOT_SET:
      return absl::InvalidArgumentError("job.spec: got none, must be fit, sweep or predict");
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
  out.set_state(EncodeEnum(kStates, job.state));
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
  progress.set_candidates_done(job.progress.candidates_done);
  progress.set_num_candidates(job.progress.num_candidates);
  if (const auto* fit = std::get_if<FitJobResult>(&job.result)) {
    out.mutable_fit_result()->set_model_version(fit->model_version);
    EncodeReport(*fit->report, *out.mutable_fit_result()->mutable_report());
  } else if (const auto* predict = std::get_if<PredictJobResult>(&job.result)) {
    out.mutable_predict_result()->set_dataset(predict->dataset);
    out.mutable_predict_result()->set_model_version(predict->model_version);
  } else if (const auto* sweep = std::get_if<SweepJobResult>(&job.result)) {
    EncodeSweepResult(*sweep, *out.mutable_sweep_result());
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
    to.set_phase(EncodeEnum(kPhases, iteration->phase));
    if (iteration->candidate >= 0) to.set_candidate(iteration->candidate);
  } else if (const auto* state = std::get_if<StateChangeEvent>(&event.what)) {
    out.mutable_state_change()->set_state(EncodeEnum(kStates, state->state));
  } else if (const auto* warning = std::get_if<WarningEvent>(&event.what)) {
    out.mutable_warning()->set_reason(warning->reason);
    out.mutable_warning()->set_message(warning->message);
    out.mutable_warning()->set_restart(warning->restart);
    if (warning->candidate >= 0) out.mutable_warning()->set_candidate(warning->candidate);
  } else if (const auto* candidate = std::get_if<CandidateEvent>(&event.what)) {
    EncodeSweepRow(*candidate->row, *out.mutable_candidate()->mutable_row());
  }
}

}  // namespace emserve::server
