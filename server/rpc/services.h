// The services of emserve.v1, each behind a factory so that the generated templates are compiled
// once.
#ifndef EMSERVE_SERVER_RPC_SERVICES_H_
#define EMSERVE_SERVER_RPC_SERVICES_H_

#include <memory>

#include "absl/time/time.h"
#include "grpcpp/impl/service_type.h"
#include "server/codec/job.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/job_table.h"
#include "server/jobs/watch_hub.h"
#include "server/ops/options.h"
#include "server/registry/model_registry.h"
#include "server/rpc/call.h"

namespace emserve::server {

// What the services work on. All outlive them.
struct ServiceEnvironment {
  Calls* calls = nullptr;
  DatasetStore* datasets = nullptr;
  ModelRegistry* registry = nullptr;
  JobTable* jobs = nullptr;
  WatchHub* hub = nullptr;
  Pool* pool = nullptr;
  const ServerOptions* options = nullptr;  // resolved
  absl::Time start_time;
};

std::unique_ptr<grpc::Service> MakeDatasetService(const ServiceEnvironment& environment);
std::unique_ptr<grpc::Service> MakeJobService(const ServiceEnvironment& environment);
std::unique_ptr<grpc::Service> MakeModelService(const ServiceEnvironment& environment);
std::unique_ptr<grpc::Service> MakePredictionService(const ServiceEnvironment& environment);
std::unique_ptr<grpc::Service> MakeSystemService(const ServiceEnvironment& environment);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_RPC_SERVICES_H_
