// Everything about the server that a person can set. Each field is a flag of the same name; the
// defaults stand here and nowhere else.
#ifndef EMSERVE_SERVER_OPS_OPTIONS_H_
#define EMSERVE_SERVER_OPS_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace emserve::server {

struct ServerOptions {
  // Network.
  std::string listen = "127.0.0.1:50551";  // host:port, [v6]:port or unix:path; port 0: a free one
  std::string port_file;                   // the port is written here once the server answers
  std::string tls_cert;                    // PEM certificate chain; with tls_key switches TLS on
  std::string tls_key;                     // PEM private key
  std::string tls_client_ca;               // PEM roots; clients must then show a certificate
  bool insecure = false;                   // allows plain text beyond loopback
  int64_t max_message_bytes = int64_t{32} << 20;
  int64_t max_concurrent_streams = 256;                // per connection
  int64_t connection_memory_bytes = int64_t{1} << 30;  // resource quota of all connections
  absl::Duration max_connection_age = absl::Hours(1);
  absl::Duration max_connection_age_grace = absl::Hours(12);
  absl::Duration min_ping_interval = absl::Seconds(10);  // clients may ping this often

  // Computing.
  int64_t threads = 0;               // that compute; 0: one per core
  int64_t call_threads = 0;          // that answer calls which need work; 0: max(2, cores)
  int64_t max_pending_calls = 1024;  // that wait for a call thread
  int64_t max_call_bytes = 0;  // of requests being worked on; 0: an eighth of the machine's memory

  // Jobs.
  int64_t max_running_jobs = 0;  // 0: max(4, 2 x threads)
  int64_t max_queued_jobs = 256;
  int64_t max_ended_jobs = 1000;
  int64_t max_ended_bytes = int64_t{256} << 20;  // of ended jobs and their events
  int64_t max_held_bytes = 0;     // of inline data of jobs; 0: an eighth of the machine's memory
  int64_t max_working_bytes = 0;  // that running jobs compute in; 0: a quarter of the machine's
  int64_t max_events_per_job = 10000;
  absl::Duration watch_heartbeat = absl::Seconds(15);

  // Data and models.
  int64_t max_dataset_bytes = 0;  // of all datasets together; 0: half of the machine's memory
  int64_t max_datasets = 1000;
  absl::Duration upload_timeout = absl::Hours(1);  // without a new byte
  int64_t max_inline_bytes = int64_t{16} << 20;    // of one table inside a request
  int64_t max_import_bytes = int64_t{256} << 20;   // of one imported model file
  int64_t max_model_bytes = int64_t{1} << 30;      // of all models together
  int64_t max_models = 10000;
  int64_t max_versions_per_model = 1000;

  // Operation.
  absl::Duration drain_timeout = absl::Seconds(30);
  std::string log_level = "info";  // trace, debug, info, warn, error, off
};

// `options` with every 0 that means "as the machine has it" replaced by its number.
ServerOptions Resolve(ServerOptions options);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_OPS_OPTIONS_H_
