#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "emserve/v1/prediction_service.grpc.pb.h"
#include "proto/wire/status.h"
#include "server/codec/prediction.h"
#include "server/errors.h"
#include "server/rpc/services.h"

namespace emserve::server {
namespace {

// One stream of predictions: reads a request, computes it on the executor, writes the answer, reads
// the next. gRPC's flow control holds back a client that is ahead, so one request and one answer
// are in memory at a time.
class StreamReactor final
    : public grpc::ServerBidiReactor<v1::StreamPredictRequest, v1::StreamPredictResponse> {
 public:
  StreamReactor(Calls& calls, grpc::CallbackServerContext& context, ModelRegistry& registry,
                const PredictBounds& bounds)
      : call_(calls, context, "PredictionService.StreamPredict"),
        calls_(calls),
        registry_(registry),
        bounds_(bounds) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(call_.End(absl::OkStatus()));
    if (absl::Status room = call_.Hold(static_cast<int64_t>(request_.SpaceUsedLong()));
        !room.ok()) {
      return Answer(room);
    }
    // However full the executor's queue is: a stream has one task at most, and streams are limited.
    calls_.compute().Post([this] { Answer(call_.Try([this] { return Predict(); })); });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(call_.End(absl::CancelledError("the caller has gone")));
    // A stream that waits holds no memory of the messages that came and went.
    v1::StreamPredictRequest().Swap(&request_);
    v1::StreamPredictResponse().Swap(&response_);
    call_.Release();
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  void Answer(const absl::Status& status) {
    if (!status.ok()) {
      response_.clear_outputs();
      *response_.mutable_status() = ToProto(status);
    }
    StartWrite(&response_);
  }

  absl::Status Predict() {
    const std::string& model = request_.model().empty() ? model_ : request_.model();
    if (model.empty()) return InvalidArgument("model", "got none, must be in the first message");
    // A sequence that goes on is of one version, whatever becomes of the model's newest or alias.
    const bool goes_on = !request_.new_sequence() && model == model_ && !sequence_.all.empty();
    absl::StatusOr<ResolvedVersion> found =
        registry_.Resolve("model", goes_on ? sequence_version_ : model);
    if (!found.ok() && goes_on) {
      return Reworded(found.status(), absl::StrCat(std::string(found.status().message()),
                                                   ", the version that the sequence began with; "
                                                   "begin another with new_sequence"));
    }
    if (!found.ok()) return found.status();
    absl::Status room = call_.Keep(found->version->predictor->StateBytes());
    if (!room.ok()) return room;
    NamedOutputs outputs = NamedOutputs::Of(request_);
    if (outputs.outputs.empty()) {
      outputs.outputs = outputs_.outputs;
      if (!outputs.forecast_horizon) outputs.forecast_horizon = outputs_.forecast_horizon;
      if (!outputs.num_paths) outputs.num_paths = outputs_.num_paths;
    }
    const std::string version = found->version->name();
    response_.set_model_version(version);
    SequenceState state;
    if (!request_.new_sequence() && version == sequence_version_) state = sequence_;
    absl::Status status = PredictTable(
        *found->version,
        {.table = request_.table(),
         .outputs = outputs,
         .packed = request_.packed(),
         .sequences = request_.has_sequences() ? &request_.sequences() : nullptr,
         .state = &state},
        bounds_, [this] { return call_.cancelled(); }, *response_.mutable_outputs());
    if (!status.ok()) return status;
    // The request is a good one: what it names holds for those that name none.
    sequence_ = std::move(state);
    sequence_version_ = version;
    if (!request_.model().empty()) model_ = request_.model();
    outputs_ = std::move(outputs);
    return status;
  }

  Call call_;
  Calls& calls_;
  ModelRegistry& registry_;
  const PredictBounds bounds_;
  v1::StreamPredictRequest request_;
  v1::StreamPredictResponse response_;
  std::string model_;
  NamedOutputs outputs_;
  SequenceState sequence_;        // after the last good message
  std::string sequence_version_;  // of that
};

class PredictionService final : public v1::PredictionService::CallbackService {
 public:
  explicit PredictionService(const ServiceEnvironment& environment)
      : calls_(*environment.calls),
        registry_(*environment.registry),
        bounds_{.max_table_bytes = environment.options->max_inline_bytes,
                .max_answer_bytes = environment.options->max_message_bytes} {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* response) override {
    static constexpr char kMethod[] = "PredictionService.Predict";
    absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", request->model());
    const bool quick = !found.ok() || IsQuick(*found->version, *request);
    const auto predict = [=, this](Call& call) -> absl::Status {
      if (!found.ok()) return found.status();
      response->set_model_version(found->version->name());
      return PredictTable(
          *found->version,
          {.table = request->table(),
           .outputs = NamedOutputs::Of(*request),
           .packed = request->packed(),
           .sequences = request->has_sequences() ? &request->sequences() : nullptr},
          bounds_, [&call] { return call.cancelled(); }, *response->mutable_outputs());
    };
    if (quick) return calls_.Now(context, kMethod, *response, predict);
    return calls_.Queue(calls_.compute(), context, kMethod, *request, *response, predict);
  }

  grpc::ServerBidiReactor<v1::StreamPredictRequest, v1::StreamPredictResponse>* StreamPredict(
      grpc::CallbackServerContext* context) override {
    return new StreamReactor(calls_, *context, registry_, bounds_);
  }

  grpc::ServerUnaryReactor* Sample(grpc::CallbackServerContext* context,
                                   const v1::SampleRequest* request,
                                   v1::SampleResponse* response) override {
    return calls_.Queue(calls_.compute(), context, "PredictionService.Sample", *request, *response,
                        [=, this](Call& call) -> absl::Status {
                          absl::StatusOr<ResolvedVersion> found =
                              registry_.Resolve("model", request->model());
                          if (!found.ok()) return found.status();
                          response->set_model_version(found->version->name());
                          return SampleRows(
                              *found->version, *request, bounds_.max_answer_bytes,
                              [&call] { return call.cancelled(); }, *response);
                        });
  }

 private:
  Calls& calls_;
  ModelRegistry& registry_;
  const PredictBounds bounds_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePredictionService(const ServiceEnvironment& environment) {
  return std::make_unique<PredictionService>(environment);
}

}  // namespace emserve::server
