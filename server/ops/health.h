// The health service in reflection.
#ifndef EMSERVE_SERVER_OPS_HEALTH_H_
#define EMSERVE_SERVER_OPS_HEALTH_H_

namespace emserve::server {

// gRPC serves grpc.health.v1 without its descriptor; this links it in, so that reflection describes
// the service.
void DescribeHealth();

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_HEALTH_H_
