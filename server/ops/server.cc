#include "server/ops/server.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/numerics/kernels.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "server/ops/credentials.h"
#include "server/ops/health.h"
#include "server/ops/log.h"
#include "server/ops/version.h"
#include "server/rpc/services.h"
#include "spdlog/spdlog.h"

namespace emserve::server {
namespace {

// Watches and uploads get this long to see their end before their streams are cut.
constexpr auto kShutdownGrace = std::chrono::seconds(2);

// As health knows them, beside "" for the whole server.
constexpr const char* kServices[] = {"DatasetService", "JobService", "ModelService",
                                     "PredictionService", "SystemService"};

// Work that is quick has threads of its own: it does not wait behind predictions.
constexpr int kControlThreads = 2;

// Uploads come in chunks of a mebibyte: an allocator that keeps its pages doubles their rate. What
// it has kept goes back to the system this often.
constexpr absl::Duration kTrimPeriod = absl::Seconds(30);

void KeepPages() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(
      std::min<int64_t>(absl::ToInt64Milliseconds(duration), std::numeric_limits<int>::max()));
}

}  // namespace

// In the order of construction: what stands later uses what stands before.
struct Server::Parts {
  explicit Parts(const ServerOptions& resolved)
      : options(resolved),
        log(MakeLogger(options.log_level)),
        pool(static_cast<int>(options.threads)),
        control(kControlThreads, options.max_pending_calls),
        compute(static_cast<int>(options.call_threads), options.max_pending_calls),
        datasets({.max_bytes = options.max_dataset_bytes,
                  .max_datasets = options.max_datasets,
                  .upload_timeout = options.upload_timeout,
                  .clock = absl::Now},
                 compute),
        registry({.max_models = options.max_models,
                  .max_versions_per_model = options.max_versions_per_model,
                  .max_bytes = options.max_model_bytes,
                  .clock = absl::Now}),
        hub({.heartbeat = options.watch_heartbeat, .clock = absl::Now}),
        jobs({.max_queued_jobs = static_cast<int>(options.max_queued_jobs),
              .max_running_jobs = static_cast<int>(options.max_running_jobs),
              .max_ended_jobs = static_cast<int>(options.max_ended_jobs),
              .max_ended_bytes = options.max_ended_bytes,
              .max_held_bytes = options.max_held_bytes,
              .max_working_bytes = options.max_working_bytes,
              .max_events_per_job = options.max_events_per_job,
              .clock = absl::Now,
              .on_end = [this](const JobSnapshot& job) { LogEnd(job); }},
             pool, hub),
        calls(log, {.control = &control,
                    .compute = &compute,
                    .max_message_bytes = options.max_message_bytes,
                    .max_memory_bytes = options.max_call_bytes}) {}

  // One line per job.
  void LogEnd(const JobSnapshot& job) const {
    const absl::Duration ran =
        job.start_time && job.end_time ? *job.end_time - *job.start_time : absl::ZeroDuration();
    log->info("job {} {} {:.3f}ms waited={:.3f}ms events={}{}", job.id, JobStateName(job.state),
              absl::ToDoubleMilliseconds(ran),
              absl::ToDoubleMilliseconds(job.start_time.value_or(*job.end_time) - job.create_time),
              job.last_sequence,
              job.error.ok() ? std::string()
                             : " error=\"" + absl::Utf8SafeCEscape(job.error.message()) + "\"");
  }

  const ServerOptions options;
  const std::shared_ptr<spdlog::logger> log;
  Pool pool;
  Executor control;
  Executor compute;
  DatasetStore datasets;
  ModelRegistry registry;
  WatchHub hub;
  JobTable jobs;
  Calls calls;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<grpc::Server> grpc;
  int port = 0;
  int64_t sweep_timer = 0;
  int64_t trim_timer = 0;
  std::once_flag drained;
};

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Server::~Server() { Drain(); }
int Server::port() const { return parts_->port; }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& given) {
  KeepPages();
  auto parts = std::make_unique<Parts>(Resolve(given));
  Parts& p = *parts;
  const ServerOptions& options = p.options;
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = MakeCredentials(options);
  if (!credentials.ok()) return credentials.status();

  const ServiceEnvironment environment{.calls = &p.calls,
                                       .datasets = &p.datasets,
                                       .registry = &p.registry,
                                       .jobs = &p.jobs,
                                       .hub = &p.hub,
                                       .pool = &p.pool,
                                       .options = &p.options,
                                       .start_time = absl::Now()};
  for (const auto make : {MakeDatasetService, MakeJobService, MakeModelService,
                          MakePredictionService, MakeSystemService}) {
    p.services.push_back(make(environment));
  }

  RouteLibraryLogs(p.log);
  grpc::EnableDefaultHealthCheckService(true);
  DescribeHealth();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, *credentials, &p.port);
  for (const auto& service : p.services) builder.RegisterService(service.get());
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("emserved");
  quota.Resize(static_cast<size_t>(options.connection_memory_bytes));
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options.max_concurrent_streams));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             Milliseconds(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             Milliseconds(options.max_connection_age_grace));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(options.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  p.grpc = builder.BuildAndStart();
  if (p.grpc == nullptr || (p.port == 0 && !options.listen.starts_with("unix:"))) {
    return absl::FailedPreconditionError(
        absl::StrCat("--listen: got '", options.listen,
                     "', must be an address of this machine with a free port"));
  }
  for (const char* const service : kServices) {
    p.grpc->GetHealthCheckService()->SetServingStatus(std::string("emserve.v1.") + service, true);
  }
  p.trim_timer = p.hub.AddTimer([](absl::Time now) {
    malloc_trim(0);
    return now + kTrimPeriod;
  });
  p.sweep_timer = p.hub.AddTimer([&p](absl::Time) { return p.datasets.Sweep(); });
  p.log->info("serving version={} listen={} port={} threads={} kernels={}", kVersion,
              options.listen, p.port, options.threads, KernelTarget());
  if (!options.port_file.empty()) {
    std::ofstream file(options.port_file);
    file << p.port << "\n";
    if (!file.flush()) {
      return absl::InvalidArgumentError(absl::StrCat("--port_file: got '", options.port_file,
                                                     "', must be a file that can be written"));
    }
  }
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

void Server::Drain() {
  std::call_once(parts_->drained, [this] {
    Parts& p = *parts_;
    p.log->info("draining pending={} running={}", p.jobs.num_pending(), p.jobs.num_running());
    p.grpc->GetHealthCheckService()->SetServingStatus(false);
    p.jobs.Drain(p.options.drain_timeout);  // watches of these jobs end with them
    p.hub.RemoveTimer(p.sweep_timer);
    p.hub.RemoveTimer(p.trim_timer);
    p.hub.Close();
    p.grpc->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    p.grpc->Wait();
    p.control.Stop();
    p.compute.Stop();
    p.log->info("stopped");
  });
}

}  // namespace emserve::server
