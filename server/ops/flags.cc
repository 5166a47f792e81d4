#include "server/ops/flags.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cctype>
#include <iostream>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/ops/version.h"

namespace emserve::server {
namespace {

constexpr int kUsageStatus = 2;
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
constexpr std::array kUnits = {std::pair("KiB", 10), std::pair("MiB", 20), std::pair("GiB", 30),
                               std::pair("TiB", 40)};

[[noreturn]] void Refuse(const std::string& flag, const std::string& value,
                         const std::string& constraint) {
  throw CLI::ValidationError(absl::StrCat("--", flag),
                             absl::StrCat("got '", value, "', must be ", constraint));
}

std::string SizeText(int64_t bytes) {
  for (auto unit = kUnits.rbegin(); unit != kUnits.rend(); ++unit) {
    const int64_t size = int64_t{1} << unit->second;
    if (bytes >= size && bytes % size == 0) return absl::StrCat(bytes / size, unit->first);
  }
  return absl::StrCat(bytes);
}

// "64", "64KiB", "32 MiB"; false if it is no size or overflows.
bool ParseSize(const std::string& text, int64_t& bytes) {
  size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits]))) ++digits;
  if (!absl::SimpleAtoi(text.substr(0, digits), &bytes)) return false;
  const std::string unit(absl::StripAsciiWhitespace(text.substr(digits)));
  if (unit.empty()) return true;
  for (const auto& [name, shift] : kUnits) {
    if (unit == name) return !__builtin_mul_overflow(bytes, int64_t{1} << shift, &bytes);
  }
  return false;
}

// Adds flags that write into one ServerOptions; every one can also come from the environment.
class FlagSet {
 public:
  explicit FlagSet(CLI::App& app) : app_(app) {}

  void Group(std::string name) { group_ = std::move(name); }

  void Text(const std::string& name, std::string& value, const std::string& type,
            const std::string& help) {
    Finish(app_.add_option("--" + name, value, help), name, type, value);
  }

  void Switch(const std::string& name, bool& value, const std::string& help) {
    app_.add_flag("--" + name, value, help)->group(group_)->envname(EnvironmentName(name));
  }

  void Count(const std::string& name, int64_t& value, int64_t low, int64_t high,
             const std::string& unit, const std::string& help) {
    const auto set = [&value, name, low, high](const std::string& text) {
      if (!absl::SimpleAtoi(text, &value) || value < low || value > high) {
        Refuse(name, text, absl::StrCat("an integer from ", low, " to ", high));
      }
    };
    Finish(app_.add_option_function<std::string>("--" + name, set, help), name, unit,
           absl::StrCat(value));
  }

  void Size(const std::string& name, int64_t& value, int64_t low, int64_t high,
            const std::string& help) {
    const auto set = [&value, name, low, high](const std::string& text) {
      if (!ParseSize(text, value) || value < low || value > high) {
        Refuse(name, text,
               absl::StrCat("a size from ", SizeText(low),
                            high == kNoLimit ? " on" : absl::StrCat(" to ", SizeText(high)),
                            ", e.g. 64MiB"));
      }
    };
    Finish(app_.add_option_function<std::string>("--" + name, set, help), name, "SIZE",
           SizeText(value));
  }

  void Duration(const std::string& name, absl::Duration& value, absl::Duration low,
                absl::Duration high, const std::string& help) {
    const auto set = [&value, name, low, high](const std::string& text) {
      double seconds = 0;
      const bool plain = absl::SimpleAtod(text, &seconds);
      if (plain) value = absl::Seconds(seconds);
      if ((!plain && !absl::ParseDuration(text, &value)) || !(value >= low && value <= high)) {
        Refuse(name, text,
               absl::StrCat("a duration from ", absl::FormatDuration(low), " to ",
                            absl::FormatDuration(high), ", e.g. 30s or 5m"));
      }
    };
    Finish(app_.add_option_function<std::string>("--" + name, set, help), name, "DURATION",
           absl::FormatDuration(value));
  }

 private:
  static std::string EnvironmentName(const std::string& name) {
    return absl::StrCat("EMSERVE_", absl::AsciiStrToUpper(name));
  }

  void Finish(CLI::Option* option, const std::string& name, const std::string& type,
              const std::string& default_value) {
    option->group(group_)
        ->type_name(type)
        ->default_str(default_value)
        ->envname(EnvironmentName(name));
  }

  CLI::App& app_;
  std::string group_;
};

void AddFlags(CLI::App& app, ServerOptions& o) {
  FlagSet flags(app);
  flags.Group("Network");
  flags.Text("listen", o.listen, "ADDRESS",
             "host:port, [v6]:port or unix:path to listen on; port 0 takes a free one");
  flags.Text("port_file", o.port_file, "FILE",
             "write the port to this file once the server answers");
  flags.Text("tls_cert", o.tls_cert, "FILE",
             "PEM certificate chain; with --tls_key switches TLS on; reloaded when it changes");
  flags.Text("tls_key", o.tls_key, "FILE", "PEM private key of --tls_cert");
  flags.Text("tls_client_ca", o.tls_client_ca, "FILE",
             "PEM root certificates; clients must then show a certificate signed by one");
  flags.Switch("insecure", o.insecure,
               "allow plain text on an address that is not loopback: anyone who reaches it can use "
               "and read everything");
  flags.Size("max_message_bytes", o.max_message_bytes, int64_t{1} << 20, int64_t{1} << 30,
             "largest message received or sent");
  flags.Count("max_concurrent_streams", o.max_concurrent_streams, 1, 100000, "CALLS",
              "calls at the same time on one connection");
  flags.Size("connection_memory_bytes", o.connection_memory_bytes, int64_t{64} << 20, kNoLimit,
             "memory for the buffers of all connections");
  flags.Duration("max_connection_age", o.max_connection_age, absl::Seconds(1), absl::Hours(8760),
                 "then a connection takes no new calls, so that clients spread again");
  flags.Duration("max_connection_age_grace", o.max_connection_age_grace, absl::Seconds(1),
                 absl::Hours(8760), "time that calls on an aged connection have to end");
  flags.Duration("min_ping_interval", o.min_ping_interval, absl::Seconds(1), absl::Hours(1),
                 "clients that send keepalive pings more often are cut off");

  flags.Group("Computing");
  flags.Count("threads", o.threads, 0, 1024, "THREADS", "threads that fit; 0: one per core");
  flags.Count("call_threads", o.call_threads, 0, 1024, "THREADS",
              "threads that answer calls which compute (Predict, Sample, checks); 0: one per core, "
              "at least 2");
  flags.Count("max_pending_calls", o.max_pending_calls, 1, 1000000, "CALLS",
              "calls that wait for a call thread; beyond it RESOURCE_EXHAUSTED");

  flags.Size("max_call_bytes", o.max_call_bytes, 0, kNoLimit,
             "memory of the requests that wait or are worked on, and of model files on their way "
             "out; beyond it RESOURCE_EXHAUSTED; 0: an eighth of the machine's");

  flags.Group("Jobs");
  flags.Count("max_running_jobs", o.max_running_jobs, 0, 4096, "JOBS",
              "jobs that share the threads at the same time; 0: twice --threads, at least 4");
  flags.Count("max_queued_jobs", o.max_queued_jobs, 1, 1000000, "JOBS",
              "jobs that wait; beyond it RESOURCE_EXHAUSTED");
  flags.Count("max_ended_jobs", o.max_ended_jobs, 1, 1000000, "JOBS",
              "ended jobs that are kept; beyond it the oldest are forgotten");
  flags.Size("max_ended_bytes", o.max_ended_bytes, int64_t{1} << 20, kNoLimit,
             "memory of ended jobs and their events; beyond it the oldest are forgotten");
  flags.Size("max_held_bytes", o.max_held_bytes, 0, kNoLimit,
             "memory of the requests and inline data of jobs that have not ended; beyond it "
             "RESOURCE_EXHAUSTED; 0: an eighth of the machine's");
  flags.Size("max_working_bytes", o.max_working_bytes, 0, kNoLimit,
             "memory that running jobs compute in: larger jobs are refused, others wait for their "
             "turn; 0: a quarter of the machine's");
  flags.Count("max_events_per_job", o.max_events_per_job, 100, 10000000, "EVENTS",
              "events kept for each job; beyond it iterations are thinned");
  flags.Duration("watch_heartbeat", o.watch_heartbeat, absl::Milliseconds(10), absl::Hours(1),
                 "a watch without news sends an empty message this often");

  flags.Group("Data and models");
  flags.Size("max_dataset_bytes", o.max_dataset_bytes, 0, kNoLimit,
             "memory of all datasets together; beyond it RESOURCE_EXHAUSTED; 0: half of the "
             "machine's");
  flags.Count("max_datasets", o.max_datasets, 1, 1000000, "DATASETS",
              "datasets; beyond it RESOURCE_EXHAUSTED");
  flags.Duration("upload_timeout", o.upload_timeout, absl::Seconds(1), absl::Hours(8760),
                 "an upload that gets no new byte for this long is forgotten");
  flags.Size("max_inline_bytes", o.max_inline_bytes, 1024, int64_t{1} << 30,
             "cells of one table inside a request");
  flags.Size("max_import_bytes", o.max_import_bytes, 1024, int64_t{1} << 30,
             "size of a model file that is imported; four times this in all at the same time");
  flags.Size("max_model_bytes", o.max_model_bytes, int64_t{1} << 20, kNoLimit,
             "memory of all models together; beyond it RESOURCE_EXHAUSTED");
  flags.Count("max_models", o.max_models, 1, 1000000, "MODELS",
              "models; beyond it RESOURCE_EXHAUSTED");
  flags.Count("max_versions_per_model", o.max_versions_per_model, 1, 1000000, "VERSIONS",
              "versions of one model; beyond it RESOURCE_EXHAUSTED");

  flags.Group("Operation");
  flags.Duration("drain_timeout", o.drain_timeout, absl::ZeroDuration(), absl::Hours(24),
                 "time that running jobs have to end after SIGTERM or SIGINT; then they are "
                 "cancelled");
  flags.Text("log_level", o.log_level, "LEVEL", "trace, debug, info, warn, error or off");
}

bool IsLoopback(const std::string& address) {
  if (address.rfind("unix:", 0) == 0) return true;
  const std::string host = address.substr(0, address.rfind(':'));
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
  return host == "localhost" || host == "[::1]";
}

void CheckAddress(const std::string& address) {
  constexpr const char* kForm = "host:port, [v6]:port or unix:path, e.g. 127.0.0.1:50551";
  if (address.rfind("unix:", 0) == 0) {
    if (address.size() == 5) Refuse("listen", address, kForm);
    return;
  }
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65535) {
    Refuse("listen", address, kForm);
  }
  const std::string host = address.substr(0, colon);
  if (host.find(':') != std::string::npos && (host.front() != '[' || host.back() != ']')) {
    Refuse("listen", address, kForm);
  }
}

void CheckTogether(const ServerOptions& o) {
  CheckAddress(o.listen);
  if (o.tls_cert.empty() != o.tls_key.empty()) {
    Refuse(o.tls_cert.empty() ? "tls_cert" : "tls_key", "",
           "given: --tls_cert and --tls_key belong together");
  }
  if (!o.tls_client_ca.empty() && o.tls_cert.empty()) {
    Refuse("tls_client_ca", o.tls_client_ca, "absent without --tls_cert and --tls_key");
  }
  if (o.tls_cert.empty() && !o.insecure && !IsLoopback(o.listen)) {
    Refuse("listen", o.listen,
           "a loopback address; to serve a network give --tls_cert and --tls_key, or --insecure");
  }
  if (o.max_inline_bytes > o.max_message_bytes) {
    Refuse("max_inline_bytes", SizeText(o.max_inline_bytes),
           absl::StrCat("at most --max_message_bytes, ", SizeText(o.max_message_bytes)));
  }
  constexpr std::array kLevels = {"trace", "debug", "info", "warn", "error", "off"};
  if (std::find(kLevels.begin(), kLevels.end(), o.log_level) == kLevels.end()) {
    Refuse("log_level", o.log_level, "trace, debug, info, warn, error or off");
  }
}

}  // namespace

std::variant<ServerOptions, int> ParseFlags(int argc, const char* const* argv, std::ostream& out,
                                            std::ostream& err) {
  ServerOptions options;
  CLI::App app(
      "emserved fits latent-variable models by expectation-maximisation behind a gRPC service.\n"
      "Every flag can also be set as EMSERVE_<FLAG> in the environment or as flag=value in the "
      "file of --config; the command line comes first, then the environment.\n"
      "Sizes take KiB, MiB, GiB; durations ms, s, m, h, seconds if none.",
      "emserved");
  app.set_version_flag("--version", std::string("emserved ") + kVersion);
  app.set_config("--config", "", "file of flag=value lines")->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.get_formatter()->column_width(44);
  AddFlags(app, options);
  try {
    app.parse(argc, argv);
    CheckTogether(options);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error, out, err);
      return 0;
    }
    err << "emserved: " << error.what() << "\nemserved --help lists all flags\n";
    return kUsageStatus;
  }
  return options;
}

}  // namespace emserve::server
