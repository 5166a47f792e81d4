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
    absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", model);
    if (!found.ok()) return found.status();
    model_ = model;
    if (request_.outputs_size() > 0) outputs_ = request_.outputs();
    response_.set_model_version(found->version->name());
    return PredictTable(
        *found->version, request_.table(), outputs_, request_.packed(), bounds_,
        [this] { return call_.cancelled(); }, *response_.mutable_outputs());
  }

  Call call_;
  Calls& calls_;
  ModelRegistry& registry_;
  const PredictBounds bounds_;
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
        bounds_{.max_table_bytes = environment.options->max_inline_bytes,
                .max_answer_bytes = environment.options->max_message_bytes} {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const v1::PredictRequest* request,
                                    v1::PredictResponse* response) override {
    constexpr char kMethod[] = "PredictionService.Predict";
    absl::StatusOr<ResolvedVersion> found = registry_.Resolve("model", request->model());
    const bool quick = !found.ok() || IsQuick(*found->version, request->table());
    const auto predict = [=, this](Call& call) -> absl::Status {
      if (!found.ok()) return found.status();
      response->set_model_version(found->version->name());
      return PredictTable(
          *found->version, request->table(), request->outputs(), request->packed(), bounds_,
          [&call] { return call.cancelled(); }, *response->mutable_outputs());
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
  // A few rows of a small model take less time than handing them to another thread.
  static bool IsQuick(const ModelVersion& version, const v1::InlineTable& table) {
    constexpr size_t kRowBytes = 4096;
    constexpr size_t kParameters = 4096;
    constexpr int kColumns = 1000;
    return version.theta.size() <= kParameters && table.columns_size() <= kColumns &&
           table.data().size() + sizeof(double) * table.values().size() <= kRowBytes;
  }

  Calls& calls_;
  ModelRegistry& registry_;
  const PredictBounds bounds_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePredictionService(const ServiceEnvironment& environment) {
  return std::make_unique<PredictionService>(environment);
}

}  // namespace emserve::server
