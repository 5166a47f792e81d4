// TLS for the listening socket.
#ifndef EMSERVE_SERVER_OPS_CREDENTIALS_H_
#define EMSERVE_SERVER_OPS_CREDENTIALS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"
#include "server/ops/options.h"

namespace emserve::server {

// Plain text without tls_cert; with it TLS from the named files, which are read again when they
// change. With tls_client_ca clients must show a certificate signed by one of its roots.
// InvalidArgument names a file that cannot be read or holds no PEM block.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const ServerOptions& options);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_CREDENTIALS_H_
