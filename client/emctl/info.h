// emctl info.
#ifndef EMSERVE_CLIENT_EMCTL_INFO_H_
#define EMSERVE_CLIENT_EMCTL_INFO_H_

#include <string>

#include "absl/status/status.h"
#include "client/emctl/session.h"
#include "emserve/v1/system_service.pb.h"

namespace emserve::emctl {

// What the server is, can do and allows.
absl::Status ShowServerInfo(Session& session);

// Which family can do what, and what its predictions return.
std::string CapabilityTable(const v1::GetServerInfoResponse& info);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_INFO_H_
