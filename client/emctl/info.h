// emctl info.
#ifndef EMSERVE_CLIENT_EMCTL_INFO_H_
#define EMSERVE_CLIENT_EMCTL_INFO_H_

#include "absl/status/status.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

// What the server is, can do and allows.
absl::Status ShowServerInfo(Session& session);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_INFO_H_
