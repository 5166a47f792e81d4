// Following a job: a cursor into its log that survives broken connections.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/stubs.h"

namespace emserve::client {

bool HasEnded(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

absl::Status JobError(const v1::Job& job) {
  if (job.state() == v1::JOB_STATE_CANCELLED) {
    return absl::CancelledError(absl::StrCat(job.name(), " was cancelled"));
  }
  if (job.state() != v1::JOB_STATE_FAILED) return absl::OkStatus();
  const absl::Status error = FromProto(job.error());
  return error.ok() ? absl::InternalError(absl::StrCat(job.name(), " failed without a reason"))
                    : error;
}

struct Client::WatchCursor {
  std::string name;
  int64_t sequence = 0;  // of the newest event delivered
  v1::Job job;           // newest snapshot

  // Delivers an event unless it has been delivered before.
  void Deliver(const v1::JobEvent& event, const WatchOptions& options) {
    if (event.sequence() <= sequence) return;
    sequence = event.sequence();
    if (options.on_event) options.on_event(event);
  }
};

absl::StatusOr<v1::Job> Client::Watch(const std::string& name, const WatchOptions& options) {
  WatchCursor cursor{.name = name, .sequence = options.after_sequence, .job = {}};
  Retry retry(stubs_->options.retry, options.stop);
  while (true) {
    absl::Status status = WatchOnce(options, cursor, retry);
    if (options.stop.stop_requested()) return absl::CancelledError("stopped on request");
    if (status.ok()) {
      const bool complete = HasEnded(cursor.job.state()) &&
                            (!options.all_events || cursor.sequence >= cursor.job.last_sequence());
      if (complete) return std::move(cursor.job);
      status = absl::UnavailableError(absl::StrCat(name, ": the watch ended before the job"));
    }
    if (!IsBrokenConnection(status)) return status;
    if (absl::Status wait = retry.Wait(status); !wait.ok()) return wait;
  }
}

absl::Status Client::WatchOnce(const WatchOptions& options, WatchCursor& cursor, Retry& retry) {
  grpc::ClientContext context;
  const CancelOnStop cancel(options.stop, context);
  v1::WatchJobRequest request;
  request.set_name(cursor.name);
  request.set_after_sequence(cursor.sequence);
  const auto stream = stubs_->jobs.WatchJob(&context, request);
  v1::WatchJobResponse response;
  absl::Status failure;
  while (failure.ok() && stream->Read(&response)) {
    const int64_t before = cursor.sequence;
    for (const v1::JobEvent& event : response.events()) {
      if (options.all_events && event.sequence() > cursor.sequence + 1) {
        failure = FetchSkipped(options, cursor, event.sequence());
        if (!failure.ok()) break;
      }
      cursor.Deliver(event, options);
    }
    if (!failure.ok()) break;
    if (response.has_job()) {
      cursor.job = std::move(*response.mutable_job());
      if (options.on_job) options.on_job(cursor.job);
    }
    // An event or a heartbeat shows that the stream works; the first snapshot alone does not.
    const bool is_heartbeat = !response.has_job() && response.events_size() == 0;
    if (cursor.sequence > before || is_heartbeat) retry.Reset();
  }
  if (!failure.ok()) context.TryCancel();
  const absl::Status status = FromGrpcStatus(stream->Finish());
  return failure.ok() ? status : failure;
}

absl::Status Client::FetchSkipped(const WatchOptions& options, WatchCursor& cursor,
                                  int64_t before) {
  v1::ListJobEventsRequest request;
  request.set_parent(cursor.name);
  request.set_page_size(1000);
  while (cursor.sequence + 1 < before) {
    request.set_after_sequence(cursor.sequence);
    const auto response =
        stubs_->Call(stubs_->jobs, &v1::JobService::Stub::ListJobEvents, request, true);
    if (!response.ok()) return response.status();
    const int64_t last = cursor.sequence;
    for (const v1::JobEvent& event : response->events()) {
      if (event.sequence() < before) cursor.Deliver(event, options);
    }
    if (cursor.sequence == last) {
      return absl::DataLossError(absl::StrCat(cursor.name, ": the server no longer has events ",
                                              last + 1, " to ", before - 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> Client::Fit(v1::CreateJobRequest request, const WatchOptions& options) {
  const absl::StatusOr<v1::Job> job = CreateJob(std::move(request));
  if (!job.ok()) return job;
  return Watch(job->name(), options);
}

}  // namespace emserve::client
