#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "emserve/v1/job_service.grpc.pb.h"
#include "server/errors.h"
#include "server/names.h"
#include "server/page.h"
#include "server/rpc/services.h"
#include "server/rpc/watch_reactor.h"

namespace emserve::server {
namespace {

class JobService final : public v1::JobService::CallbackService {
 public:
  explicit JobService(const ServiceEnvironment& environment)
      : calls_(*environment.calls),
        jobs_(*environment.jobs),
        hub_(*environment.hub),
        making_{environment.datasets, environment.registry, environment.pool,
                environment.options->max_inline_bytes} {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::CreateJobResponse* response) override {
    return calls_.Queue(context, "JobService.CreateJob", [=, this](Call& call) -> absl::Status {
      absl::StatusOr<NewJob> wanted = DecodeCreateJob(*request, making_);
      if (!wanted.ok()) return wanted.status();
      absl::StatusOr<std::shared_ptr<const Job>> job = jobs_.Create(*std::move(wanted));
      if (!job.ok()) return job.status();
      call.Note("job", (*job)->id());
      EncodeJob((*job)->Snapshot(), *response->mutable_job());
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::FitResponse>* Fit(grpc::CallbackServerContext* context,
                                                 const v1::FitRequest* request) override {
    auto* reactor = new WatchReactor<v1::FitResponse>(calls_, *context, "JobService.Fit", hub_);
    const absl::Status queued = calls_.executor().Submit([this, reactor, request] {
      absl::StatusOr<std::shared_ptr<const Job>> job = absl::InternalError("not made");
      const absl::Status status = reactor->call().Try([&]() -> absl::Status {
        absl::StatusOr<NewJob> wanted = DecodeFit(*request, making_);
        if (!wanted.ok()) return wanted.status();
        job = jobs_.Create(*std::move(wanted));
        return job.status();
      });
      status.ok() ? reactor->Begin(*std::move(job), 0) : reactor->Refuse(status);
    });
    if (!queued.ok()) reactor->Refuse(queued);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override {
    return calls_.Now(context, "JobService.GetJob", [&](Call&) -> absl::Status {
      absl::StatusOr<std::shared_ptr<const Job>> job = Find("name", request->name());
      if (!job.ok()) return job.status();
      EncodeJob((*job)->Snapshot(), *response->mutable_job());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override {
    return calls_.Queue(context, "JobService.ListJobs", [=, this](Call&) -> absl::Status {
      std::vector<JobState> states;
      for (int i = 0; i < request->states_size(); ++i) {
        absl::StatusOr<JobState> state =
            DecodeJobState(request->states(i), absl::StrCat("states[", i, "]"));
        if (!state.ok()) return state.status();
        states.push_back(*state);
      }
      absl::StatusOr<Page<std::shared_ptr<const Job>>> page =
          jobs_.List(states, {request->page_size(), request->page_token()});
      if (!page.ok()) return page.status();
      for (const auto& job : page->items) EncodeJob(job->Snapshot(), *response->add_jobs());
      response->set_next_page_token(page->next_page_token);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override {
    return calls_.Now(context, "JobService.CancelJob", [&](Call&) -> absl::Status {
      absl::StatusOr<std::string> id = ParseJobName("name", request->name());
      if (!id.ok()) return id.status();
      absl::StatusOr<std::shared_ptr<const Job>> job = jobs_.Cancel(*id);
      if (!job.ok()) return job.status();
      EncodeJob((*job)->Snapshot(), *response->mutable_job());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* DeleteJob(grpc::CallbackServerContext* context,
                                      const v1::DeleteJobRequest* request,
                                      v1::DeleteJobResponse*) override {
    return calls_.Now(context, "JobService.DeleteJob", [&](Call&) -> absl::Status {
      absl::StatusOr<std::string> id = ParseJobName("name", request->name());
      if (!id.ok()) return id.status();
      return jobs_.Delete(*id);
    });
  }

  grpc::ServerWriteReactor<v1::WatchJobResponse>* WatchJob(
      grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) override {
    auto* reactor =
        new WatchReactor<v1::WatchJobResponse>(calls_, *context, "JobService.WatchJob", hub_);
    absl::StatusOr<std::shared_ptr<const Job>> job = Find("name", request->name());
    if (!job.ok()) {
      reactor->Refuse(job.status());
      return reactor;
    }
    const int64_t newest = (*job)->log().last_sequence();
    if (request->after_sequence() < 0 || request->after_sequence() > newest) {
      reactor->Refuse(
          absl::OutOfRangeError(absl::StrCat("after_sequence: got ", request->after_sequence(),
                                             ", must be 0 to ", newest, ", the newest event")));
      return reactor;
    }
    reactor->Begin(*std::move(job), request->after_sequence());
    return reactor;
  }

  grpc::ServerUnaryReactor* ListJobEvents(grpc::CallbackServerContext* context,
                                          const v1::ListJobEventsRequest* request,
                                          v1::ListJobEventsResponse* response) override {
    return calls_.Queue(context, "JobService.ListJobEvents", [=, this](Call&) -> absl::Status {
      absl::StatusOr<std::shared_ptr<const Job>> job = Find("parent", request->parent());
      if (!job.ok()) return job.status();
      if (request->after_sequence() < 0) {
        return InvalidArgument("after_sequence", absl::StrCat("got ", request->after_sequence(),
                                                              ", must be 0 or more"));
      }
      const PageRequest page{request->page_size(), request->page_token()};
      const std::string list =
          absl::StrCat("events/", (*job)->id(), "/", request->after_sequence());
      absl::StatusOr<int> size = PageSize(page);
      if (!size.ok()) return size.status();
      absl::StatusOr<std::string> cursor = DecodePageToken(list, page);
      if (!cursor.ok()) return cursor.status();
      int64_t after = request->after_sequence();
      if (!cursor->empty() && !absl::SimpleAtoi(*cursor, &after)) {
        return InvalidArgument("page_token", "got a token of another list");
      }
      const EventBatch batch = (*job)->log().Read(after, *size);
      for (const JobEvent& event : batch.events) EncodeEvent(event, *response->add_events());
      if (batch.cursor < (*job)->log().last_sequence()) {
        response->set_next_page_token(EncodePageToken(list, absl::StrCat(batch.cursor)));
      }
      return absl::OkStatus();
    });
  }

 private:
  absl::StatusOr<std::shared_ptr<const Job>> Find(const char* field,
                                                  const std::string& name) const {
    absl::StatusOr<std::string> id = ParseJobName(field, name);
    if (!id.ok()) return id.status();
    return jobs_.Get(*id);
  }

  Calls& calls_;
  JobTable& jobs_;
  WatchHub& hub_;
  const JobEnvironment making_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeJobService(const ServiceEnvironment& environment) {
  return std::make_unique<JobService>(environment);
}

}  // namespace emserve::server
