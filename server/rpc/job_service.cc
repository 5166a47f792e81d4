#include <set>
#include <stop_token>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "emserve/v1/job_service.grpc.pb.h"
#include "server/errors.h"
#include "server/names.h"
#include "server/page.h"
#include "server/rpc/page_answer.h"
#include "server/rpc/services.h"
#include "server/rpc/watch_reactor.h"

namespace emserve::server {
namespace {

absl::Status CheckSequence(int64_t after, int64_t newest) {
  if (after >= 0 && after <= newest) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("after_sequence: got ", after, ", must be 0 to ", newest, ", the newest event"));
}

// A stop that is asked for soon after the caller of `call` has gone. Both outlive it.
class StopWithCall {
 public:
  StopWithCall(const Call& call, WatchHub& hub)
      : hub_(hub), timer_(hub.AddTimer([this, &call](absl::Time now) {
          if (call.cancelled()) stop_.request_stop();
          return now + kPeriod;
        })) {}
  ~StopWithCall() { hub_.RemoveTimer(timer_); }
  StopWithCall(const StopWithCall&) = delete;
  StopWithCall& operator=(const StopWithCall&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(100);

  WatchHub& hub_;
  std::stop_source stop_;  // before the timer, which asks it
  const int64_t timer_;
};

class JobService final : public v1::JobService::CallbackService {
 public:
  explicit JobService(const ServiceEnvironment& environment)
      : calls_(*environment.calls),
        jobs_(*environment.jobs),
        hub_(*environment.hub),
        making_{.datasets = environment.datasets,
                .registry = environment.registry,
                .pool = environment.pool,
                .max_inline_bytes = environment.options->max_inline_bytes,
                .max_working_bytes = environment.options->max_working_bytes,
                .stop = {}} {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::CreateJobResponse* response) override {
    return calls_.Queue(calls_.control(), context, "JobService.CreateJob", *request, *response,
                        [=, this](Call& call) -> absl::Status {
                          // A caller that goes away before it has a job leaves none.
                          const StopWithCall stop(call, hub_);
                          JobEnvironment making = making_;
                          making.stop = stop.token();
                          absl::StatusOr<NewJob> wanted = DecodeCreateJob(*request, making);
                          if (!wanted.ok()) return wanted.status();
                          absl::StatusOr<std::shared_ptr<const Job>> job =
                              jobs_.Create(*std::move(wanted));
                          if (!job.ok()) return job.status();
                          call.Note("job", (*job)->id());
                          EncodeJob((*job)->Snapshot(), *response->mutable_job());
                          return absl::OkStatus();
                        });
  }

  grpc::ServerWriteReactor<v1::FitResponse>* Fit(grpc::CallbackServerContext* context,
                                                 const v1::FitRequest* request) override {
    auto* reactor = new WatchReactor<v1::FitResponse>(calls_, *context, "JobService.Fit", hub_);
    absl::Status queued = reactor->call().Hold(static_cast<int64_t>(request->SpaceUsedLong()));
    if (queued.ok())
      queued = calls_.control().Submit([this, reactor, request] {
        absl::StatusOr<std::shared_ptr<const Job>> job = absl::InternalError("not made");
        const absl::Status status = reactor->call().Try([&]() -> absl::Status {
          absl::StatusOr<NewJob> wanted = DecodeFit(*request, making_);
          if (!wanted.ok()) return wanted.status();
          job = jobs_.Create(*std::move(wanted));
          return job.status();
        });
        reactor->call().Release();  // from now on the job counts what it holds
        status.ok() ? reactor->Begin(*std::move(job), 0) : reactor->Refuse(status);
      });
    if (!queued.ok()) reactor->Refuse(queued);
    return reactor;
  }

  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::GetJobResponse* response) override {
    return calls_.Now(context, "JobService.GetJob", *response, [&](Call&) -> absl::Status {
      absl::StatusOr<std::shared_ptr<const Job>> job = Find("name", request->name());
      if (!job.ok()) return job.status();
      EncodeJob((*job)->Snapshot(), *response->mutable_job());
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override {
    return calls_.Queue(calls_.control(), context, "JobService.ListJobs", *request, *response,
                        [=, this](Call&) -> absl::Status {
                          std::vector<JobState> states;
                          for (int i = 0; i < request->states_size(); ++i) {
                            absl::StatusOr<JobState> state =
                                DecodeJobState(request->states(i), absl::StrCat("states[", i, "]"));
                            if (!state.ok()) return state.status();
                            states.push_back(*state);
                          }
                          return AnswerPage(
                              {request->page_size(), request->page_token()}, *response,
                              [&](const PageRequest& page) { return jobs_.List(states, page); },
                              [&](const std::shared_ptr<const Job>& item) -> const v1::Job& {
                                v1::Job& job = *response->add_jobs();
                                EncodeJob(item->Snapshot(), job);
                                return job;
                              });
                        });
  }

  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::CancelJobResponse* response) override {
    return calls_.Now(context, "JobService.CancelJob", *response, [&](Call&) -> absl::Status {
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
                                      v1::DeleteJobResponse* response) override {
    return calls_.Now(context, "JobService.DeleteJob", *response, [&](Call&) -> absl::Status {
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
    if (absl::Status status = CheckSequence(request->after_sequence(), newest); !status.ok()) {
      reactor->Refuse(status);
      return reactor;
    }
    reactor->Begin(*std::move(job), request->after_sequence());
    return reactor;
  }

  grpc::ServerUnaryReactor* ListJobEvents(grpc::CallbackServerContext* context,
                                          const v1::ListJobEventsRequest* request,
                                          v1::ListJobEventsResponse* response) override {
    return calls_.Queue(
        calls_.control(), context, "JobService.ListJobEvents", *request, *response,
        [=, this](Call&) -> absl::Status {
          absl::StatusOr<std::shared_ptr<const Job>> job = Find("parent", request->parent());
          if (!job.ok()) return job.status();
          const int64_t newest = (*job)->log().last_sequence();
          if (absl::Status status = CheckSequence(request->after_sequence(), newest);
              !status.ok()) {
            return status;
          }
          const PageRequest page{request->page_size(), request->page_token()};
          const std::string list =
              absl::StrCat("events/", (*job)->id(), "/", request->after_sequence());
          absl::StatusOr<int> size = PageSize(page);
          if (!size.ok()) return size.status();
          absl::StatusOr<std::string> cursor = DecodePageToken(list, page);
          if (!cursor.ok()) return cursor.status();
          int64_t after = request->after_sequence();
          if (!cursor->empty() && (!absl::SimpleAtoi(*cursor, &after) ||
                                   after < request->after_sequence() || after > newest)) {
            return InvalidArgument("page_token", "got a token that this list did not make");
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
