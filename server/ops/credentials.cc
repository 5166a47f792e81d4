#include "server/ops/credentials.h"

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace emserve::server {
namespace {

constexpr unsigned kReloadSeconds = 60;

absl::Status CheckPem(const std::string& path, const std::string& flag) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || text.find("-----BEGIN ") == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": got '", path, "', must be a readable PEM file"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const ServerOptions& options) {
  if (options.tls_cert.empty()) return grpc::InsecureServerCredentials();
  const std::pair<const std::string&, const char*> files[] = {
      {options.tls_cert, "tls_cert"},
      {options.tls_key, "tls_key"},
      {options.tls_client_ca, "tls_client_ca"}};
  for (const auto& [path, flag] : files) {
    if (path.empty()) continue;
    if (const absl::Status status = CheckPem(path, flag); !status.ok()) return status;
  }
  using grpc::experimental::FileWatcherCertificateProvider;
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<FileWatcherCertificateProvider>(options.tls_key, options.tls_cert,
                                                       options.tls_client_ca, kReloadSeconds));
  tls.watch_identity_key_cert_pairs();
  if (!options.tls_client_ca.empty()) {
    tls.watch_root_certs();
    tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(tls);
}

}  // namespace emserve::server
