#include "server/ops/health.h"

#include "grpc/health/v1/health.pb.h"

namespace emserve::server {

void DescribeHealth() { grpc::health::v1::HealthCheckRequest::descriptor(); }

}  // namespace emserve::server
