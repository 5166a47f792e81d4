// The gRPC side of Client, kept out of its header: generated stubs cost seconds of compile time.
#ifndef EMSERVE_CLIENT_STUBS_H_
#define EMSERVE_CLIENT_STUBS_H_

#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/client.h"
#include "client/retry.h"
#include "emserve/v1/dataset_service.grpc.pb.h"
#include "emserve/v1/job_service.grpc.pb.h"
#include "emserve/v1/model_service.grpc.pb.h"
#include "emserve/v1/prediction_service.grpc.pb.h"
#include "emserve/v1/system_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "proto/wire/status.h"

namespace emserve::client {

// A random idempotency key.
std::string NewRequestId();

// Cancels the call when the token is stopped, for as long as this lives.
class CancelOnStop {
 public:
  CancelOnStop(const std::stop_token& stop, grpc::ClientContext& context)
      : callback_(stop, Cancel{&context}) {}

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };
  std::stop_callback<Cancel> callback_;
};

struct Client::Stubs {
  Stubs(ConnectOptions connect_options, const std::shared_ptr<grpc::Channel>& channel)
      : options(std::move(connect_options)),
        datasets(channel),
        jobs(channel),
        models(channel),
        predictions(channel),
        system(channel) {}

  // One question and its answer, repeated after a broken connection if `repeat`.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request, bool repeat) {
    Retry retry(options.retry, std::stop_token());
    while (true) {
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + options.call_timeout));
      Response response;
      const absl::Status status = FromGrpcStatus((stub.*method)(&context, request, &response));
      if (status.ok()) return response;
      if (!repeat || !IsBrokenConnection(status)) return status;
      if (absl::Status wait = retry.Wait(status); !wait.ok()) return wait;
    }
  }

  const ConnectOptions options;
  v1::DatasetService::Stub datasets;
  v1::JobService::Stub jobs;
  v1::ModelService::Stub models;
  v1::PredictionService::Stub predictions;
  v1::SystemService::Stub system;
};

}  // namespace emserve::client

#endif  // EMSERVE_CLIENT_STUBS_H_
