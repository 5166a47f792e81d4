// Making the channel, and the first question that shows whether an emserve is at its other end.
#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/file.h"
#include "client/stubs.h"

namespace emserve::client {
namespace {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const ConnectOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError(
        "tls: got a certificate without its key or a key without its certificate, must be both");
  }
  grpc::SslCredentialsOptions tls;
  const auto read = [](const std::string& path, std::string& out) -> absl::Status {
    if (path.empty()) return absl::OkStatus();
    absl::StatusOr<std::string> content = ReadFile(path);
    if (!content.ok()) return content.status();
    out = *std::move(content);
    return absl::OkStatus();
  };
  for (const absl::Status& status : {read(options.tls_ca_file, tls.pem_root_certs),
                                     read(options.tls_cert_file, tls.pem_cert_chain),
                                     read(options.tls_key_file, tls.pem_private_key)}) {
    if (!status.ok()) return status;
  }
  return grpc::SslCredentials(tls);
}

grpc::ChannelArguments Arguments(const ConnectOptions& options) {
  grpc::ChannelArguments arguments;
  // The server decides how much it sends.
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  // A silent stream whose peer has vanished is noticed; the server allows a ping every 10 s.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Our own retries set the pace; gRPC's reconnects must not lag behind them.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  // A web proxy in the environment is not for a server that is usually on this machine.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Each client has connections of its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.tls && !options.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls_server_name);
  }
  return arguments;
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

Client::Client(std::unique_ptr<Stubs> stubs) : stubs_(std::move(stubs)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ConnectOptions options) {
  const absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      Credentials(options);
  if (!credentials.ok()) return credentials.status();
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(options.address, *credentials, Arguments(options));
  auto stubs = std::make_unique<Stubs>(std::move(options), channel);

  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + stubs->options.connect_timeout));
  v1::GetServerInfoResponse response;
  const absl::Status status = FromGrpcStatus(stubs->system.GetServerInfo(&context, {}, &response));
  const std::string& address = stubs->options.address;
  if (absl::IsUnimplemented(status)) {
    return absl::UnavailableError(absl::StrCat(address, ": answers, but is not an emserve"));
  }
  if (absl::IsDeadlineExceeded(status)) {
    return absl::UnavailableError(absl::StrCat(
        address, ": no answer within ", absl::FormatDuration(stubs->options.connect_timeout)));
  }
  if (IsBrokenConnection(status)) {
    return absl::UnavailableError(absl::StrCat(address, ": cannot be reached: ", status.message(),
                                               "; is emserved running there?"));
  }
  if (!status.ok()) return status;
  return std::unique_ptr<Client>(new Client(std::move(stubs)));
}

}  // namespace emserve::client
