#include <cstdint>
#include <utility>

#include "emserve/v1/system_service.grpc.pb.h"
#include "server/codec/fields.h"
#include "server/codec/server_info.h"
#include "server/rpc/services.h"

namespace emserve::server {
namespace {

class SystemService final : public v1::SystemService::CallbackService {
 public:
  explicit SystemService(const ServiceEnvironment& environment) : environment_(environment) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const v1::GetServerInfoRequest*,
                                          v1::GetServerInfoResponse* response) override {
    return environment_.calls->Now(
        context, "SystemService.GetServerInfo", *response, [&](Call&) -> absl::Status {
          EncodeServerInfo(*environment_.options, *response);
          EncodeTime(environment_.start_time, *response->mutable_start_time());
          response->set_pending_jobs(environment_.jobs->num_pending());
          response->set_running_jobs(environment_.jobs->num_running());
          response->set_draining(environment_.jobs->draining());
          return absl::OkStatus();
        });
  }

 private:
  const ServiceEnvironment environment_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSystemService(const ServiceEnvironment& environment) {
  return std::make_unique<SystemService>(environment);
}

}  // namespace emserve::server
