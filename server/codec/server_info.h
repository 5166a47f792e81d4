// What the server says about itself: version, limits and core's list of families.
#ifndef EMSERVE_SERVER_CODEC_SERVER_INFO_H_
#define EMSERVE_SERVER_CODEC_SERVER_INFO_H_

#include "emserve/v1/system_service.pb.h"
#include "server/ops/options.h"

namespace emserve::server {

// Everything that does not change while the server runs. `options` are resolved.
void EncodeServerInfo(const ServerOptions& options, v1::GetServerInfoResponse& info);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_CODEC_SERVER_INFO_H_
