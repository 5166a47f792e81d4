#include "server/codec/server_info.h"

#include <string>

#include "core/families.h"
#include "server/ops/version.h"

namespace emserve::server {

void EncodeServerInfo(const ServerOptions& options, v1::GetServerInfoResponse& info) {
  info.set_version(kVersion);
  info.set_num_threads(static_cast<int>(options.threads));
  const auto limit = [&info](const char* name, int64_t value, const char* unit,
                             const char* description) {
    v1::Limit& out = *info.add_limits();
    out.set_name(name);
    out.set_value(value);
    out.set_unit(unit);
    out.set_description(description);
  };
  limit("max_message_bytes", options.max_message_bytes, "bytes", "larger messages are refused");
  limit("max_inline_bytes", options.max_inline_bytes, "bytes",
        "larger tables are uploaded as datasets");
  limit("max_import_bytes", options.max_import_bytes, "bytes", "larger model files are refused");
  limit("max_dataset_bytes", options.max_dataset_bytes, "bytes",
        "of all datasets together; delete some to make room");
  limit("max_model_bytes", options.max_model_bytes, "bytes",
        "of all models together; delete some to make room");
  limit("max_call_bytes", options.max_call_bytes, "bytes",
        "of requests being worked on; try again later");
  limit("max_held_bytes", options.max_held_bytes, "bytes",
        "of inline data of jobs; upload larger data as datasets");
  limit("max_working_bytes", options.max_working_bytes, "bytes", "larger fits are refused");
  limit("max_datasets", options.max_datasets, "datasets", "delete some to make room");
  limit("max_queued_jobs", options.max_queued_jobs, "jobs",
        "further jobs are refused; try again later");
  limit("max_running_jobs", options.max_running_jobs, "jobs", "further jobs wait in the queue");
  limit("max_ended_jobs", options.max_ended_jobs, "jobs", "the oldest ended jobs are forgotten");
  limit("max_events_per_job", options.max_events_per_job, "events",
        "iterations beyond are thinned");
  limit("max_models", options.max_models, "models", "delete some to make room");
  limit("max_versions_per_model", options.max_versions_per_model, "versions",
        "delete some to make room");
  limit("max_concurrent_streams", options.max_concurrent_streams, "calls",
        "per connection; further calls wait");
  limit("max_pending_calls", options.max_pending_calls, "calls",
        "further calls are refused; try again later");
  for (const FamilyInfo& family : Families()) {
    v1::Family& out = *info.add_families();
    out.set_name(std::string(family.name));
    out.set_summary(std::string(family.summary));
    for (const std::string_view capability : family.capabilities)
      out.add_capabilities(std::string(capability));
    for (const std::string_view output : family.outputs) out.add_outputs(std::string(output));
  }
}

}  // namespace emserve::server
