// Making the channel, and the first question that shows whether an emserve is at its other end.
// Servers are started beside their clients, so one that is not there yet is waited for; what no
// waiting can mend is said at once.
#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
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

// InvalidArgument for an address that gRPC would take for something else: it guesses ports and
// looks up whole URLs as host names.
absl::Status CheckAddress(const std::string& address) {
  const auto bad = [&address](const std::string& must) {
    return absl::InvalidArgumentError(
        absl::StrCat("address: got \"", absl::CHexEscape(address), "\", must be ", must));
  };
  for (const char* scheme : {"unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:"}) {
    if (absl::StartsWith(address, scheme)) return absl::OkStatus();
  }
  if (const size_t scheme = address.find("://"); scheme != std::string::npos) {
    return bad(absl::StrCat("host:port without ", address.substr(0, scheme + 3)));
  }
  const size_t colon = address.rfind(':');
  const bool is_bracketed = absl::StartsWith(address, "[");
  const size_t bracket = address.find(']');
  if (colon == std::string::npos || (is_bracketed && bracket + 1 == address.size())) {
    return bad("host:port, such as 127.0.0.1:50551");
  }
  const std::string host = address.substr(0, colon);
  if (is_bracketed ? bracket + 1 != colon : host.find(':') != std::string::npos) {
    return bad("host:port; an IPv6 address goes in brackets, such as [::1]:50551");
  }
  if (host.empty() || host.find_first_of(" \t\n/") != std::string::npos) {
    return bad("host:port, such as 127.0.0.1:50551");
  }
  int port = 0;
  const std::string digits = address.substr(colon + 1);
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(digits, &port) || port < 1 || port > 65535) {
    return bad("host:port with a port from 1 to 65535");
  }
  return absl::OkStatus();
}

// What waiting does not mend in a connection that failed: OK if it may.
absl::Status Hopeless(const ConnectOptions& options, const absl::Status& failure) {
  const std::string why = absl::AsciiStrToLower(failure.message());
  const auto says = [&why](const char* words) { return absl::StrContains(why, words); };
  if (says("dns resolution failed") &&
      (says("domain name not found") || says("no data") || says("name or service not known"))) {
    return absl::InvalidArgumentError(
        absl::StrCat("address: got \"", options.address, "\", must name a host that exists"));
  }
  const auto unreachable = [&options](const char* what) {
    return absl::UnavailableError(absl::StrCat(options.address, ": cannot be reached: ", what));
  };
  if (says("wrong version number") || says("wrong_version_number")) {
    return unreachable("the server there does not speak TLS; connect without TLS");
  }
  if (says("certificate verify failed") || says("certificate_verify_failed")) {
    return unreachable(
        "the server's certificate is not one to trust; name the authority that signed it");
  }
  if (says("is not in peer certificate")) {
    return unreachable("the server's certificate is for another name; say which it bears");
  }
  if (says("failed parsing http/2") || says("http1.x server")) {
    return absl::UnavailableError(
        absl::StrCat(options.address, ": answers, but is not an emserve"));
  }
  return absl::OkStatus();
}

// What gRPC says of a connection that failed, without its "...; last error: <CODE>: <address>: ".
std::string Cause(const absl::Status& failure) {
  std::string_view text(failure.message().data(), failure.message().size());
  const auto skip_to = [&text](std::string_view words) {
    const size_t at = text.find(words);
    if (at != std::string_view::npos) text.remove_prefix(at + words.size());
  };
  skip_to("last error: ");
  for (const std::string_view scheme : {": ipv4:", ": ipv6:", ": unix:"}) {
    if (text.find(scheme) == std::string_view::npos) continue;
    skip_to(scheme);
    skip_to(": ");
  }
  skip_to("Failed to connect to remote host: ");
  return std::string(text);
}

// The same as one sentence.
absl::Status Unreachable(const ConnectOptions& options, const absl::Status& failure) {
  const std::string cause = Cause(failure);
  // As a server that waits for TLS ends a connection without it.
  const bool is_closed = absl::StrContains(cause, "closed") || absl::StrContains(cause, "reset");
  return absl::UnavailableError(absl::StrCat(
      options.address, ": cannot be reached within ", absl::FormatDuration(options.connect_timeout),
      ": ", cause, "; is emserved running there",
      is_closed && !options.tls ? ", and without TLS?" : "?"));
}

}  // namespace

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

Client::Client(std::unique_ptr<Stubs> stubs) : stubs_(std::move(stubs)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ConnectOptions options) {
  if (absl::Status status = CheckAddress(options.address); !status.ok()) return status;
  const absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials =
      Credentials(options);
  if (!credentials.ok()) return credentials.status();
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(options.address, *credentials, Arguments(options));
  auto stubs = std::make_unique<Stubs>(std::move(options), channel);

  const std::string& address = stubs->options.address;
  const absl::Time deadline = absl::Now() + stubs->options.connect_timeout;
  absl::Status failure;  // the newest that says more than that the time is over
  do {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline));
    v1::GetServerInfoResponse response;
    const absl::Status status =
        FromGrpcStatus(stubs->system.GetServerInfo(&context, {}, &response));
    if (status.ok()) return std::unique_ptr<Client>(new Client(std::move(stubs)));
    if (absl::IsUnimplemented(status)) {
      return absl::UnavailableError(absl::StrCat(address, ": answers, but is not an emserve"));
    }
    if (!IsBrokenConnection(status) && !absl::IsDeadlineExceeded(status)) return status;
    if (IsBrokenConnection(status)) {
      failure = status;
      if (absl::Status why = Hopeless(stubs->options, failure); !why.ok()) return why;
    }
    // Not a sleep: gRPC makes no progress with a connection that nobody waits for.
    constexpr absl::Duration kPause = absl::Milliseconds(250);
    channel->WaitForConnected(absl::ToChronoTime(std::min(absl::Now() + kPause, deadline)));
  } while (absl::Now() < deadline);
  if (!failure.ok()) return Unreachable(stubs->options, failure);
  return absl::UnavailableError(absl::StrCat(address, ": no answer within ",
                                             absl::FormatDuration(stubs->options.connect_timeout)));
}

}  // namespace emserve::client
