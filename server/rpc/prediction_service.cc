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
                int64_t max_bytes)
      : call_(calls, context, "PredictionService.StreamPredict"),
        calls_(calls),
        registry_(registry),
        max_bytes_(max_bytes) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(call_.End(absl::OkStatus()));
    // However full the executor's queue is: a stream has one task at most, and streams are limited.
    calls_.executor().Post([this] {
      response_.Clear();
      const absl::Status status = call_.Try([this] { return Predict(); });
      if (!status.ok()) {
        response_.clear_outputs();
        *response_.mutable_status() = ToProto(status);
      }
      StartWrite(&response_);
    });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(call_.End(absl::CancelledError("the caller has gone")));
    StartRead(&request_);
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Predict() {
    if (!request_.model().empty()) model_ = request_.model();
    if (request_.outputs_size() > 0) outputs_ = request_.outputs();
    if (model_.empty()) return InvalidArgument("model", "got none, must be in the first message");
    absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", model_);
    if (!found.ok()) return found.status();
    response_.set_model_version(found->version->name());
    return PredictTable(*found->version, request_.table(), outputs_, request_.packed(), max_bytes_,
                        *response_.mutable_outputs());
  }

  Call call_;
  Calls& calls_;
  ModelRegistry& registry_;
  const int64_t max_bytes_;
  v1::StreamPredictRequest request_;
  v1::StreamPredictResponse response_;
  std::string model_;
  google::protobuf::RepeatedField<int> outputs_;
};

class PredictionService final : public v1::PredictionService::CallbackService {
 public:
  explicit PredictionService(const ServiceEnvironment& environment)
      : calls_(*environment.calls),
        registry_(*environment.registry),
        max_inline_bytes_(environment.options->max_inline_bytes),
        max_message_bytes_(environment.options->max_message_bytes) {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* response) override {
    return calls_.Queue(context, "PredictionService.Predict", [=, this](Call&) -> absl::Status {
      absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", request->model());
      if (!found.ok()) return found.status();
      response->set_model_version(found->version->name());
      return PredictTable(*found->version, request->table(), request->outputs(), request->packed(),
                          max_inline_bytes_, *response->mutable_outputs());
    });
  }

  grpc::ServerBidiReactor<v1::StreamPredictRequest, v1::StreamPredictResponse>* StreamPredict(
      grpc::CallbackServerContext* context) override {
    return new StreamReactor(calls_, *context, registry_, max_inline_bytes_);
  }

  grpc::ServerUnaryReactor* Sample(grpc::CallbackServerContext* context,
                                   const v1::SampleRequest* request,
                                   v1::SampleResponse* response) override {
    return calls_.Queue(context, "PredictionService.Sample", [=, this](Call&) -> absl::Status {
      absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", request->model());
      if (!found.ok()) return found.status();
      response->set_model_version(found->version->name());
      return SampleRows(*found->version, *request, max_message_bytes_, *response);
    });
  }

 private:
  Calls& calls_;
  ModelRegistry& registry_;
  const int64_t max_inline_bytes_;
  const int64_t max_message_bytes_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePredictionService(const ServiceEnvironment& environment) {
  return std::make_unique<PredictionService>(environment);
}

}  // namespace emserve::server
