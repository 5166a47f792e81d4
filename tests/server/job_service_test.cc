// JobService over a real socket: fits, watches that break and resume, cancellation, limits,
// deadlines, drain.
#include <numeric>
#include <thread>

#include "absl/strings/escaping.h"
#include "google/protobuf/unknown_field_set.h"
#include "tests/server/service_test.h"

namespace emserve::server {
namespace {

using ::testing::HasSubstr;

class JobServiceTest : public ServiceTest {
 protected:
  grpc::Status Create(const v1::CreateJobRequest& request, v1::Job* job = nullptr,
                      grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    v1::CreateJobResponse response;
    const grpc::Status status =
        client_->jobs->CreateJob(context != nullptr ? context : &own, request, &response);
    if (job != nullptr) *job = response.job();
    return status;
  }

  grpc::Status Cancel(const std::string& name) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::CancelJobResponse response;
    return client_->jobs->CancelJob(&context, request, &response);
  }

  // The status of a Fit that is refused.
  grpc::Status Refused(const v1::FitRequest& request) {
    grpc::ClientContext context;
    const auto reader = client_->jobs->Fit(&context, request);
    v1::FitResponse message;
    EXPECT_FALSE(reader->Read(&message)) << message.ShortDebugString();
    return reader->Finish();
  }

  std::vector<double> Parameters(const std::string& model) {
    grpc::ClientContext context;
    v1::GetModelVersionRequest request;
    request.set_name(model);
    v1::GetModelVersionResponse response;
    EXPECT_TRUE(client_->models->GetModelVersion(&context, request, &response).ok());
    std::vector<double> all;
    for (const v1::NamedTensor& array : response.model_version().parameters().arrays()) {
      all.insert(all.end(), array.tensor().values().begin(), array.tensor().values().end());
    }
    return all;
  }
};

v1::CreateJobRequest Endless() {
  v1::CreateJobRequest request;
  *request.mutable_job()->mutable_fit() = EndlessSpec();
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  return request;
}

TEST_F(JobServiceTest, FitStreamsTheJobThenItsEventsThenTheResult) {
  grpc::ClientContext context;
  const auto reader = client_->jobs->Fit(&context, FaithfulFit(2));
  std::vector<v1::FitResponse> messages;
  for (v1::FitResponse message; reader->Read(&message);) messages.push_back(message);
  ASSERT_TRUE(reader->Finish().ok());
  ASSERT_GE(messages.size(), 1u);
  EXPECT_TRUE(messages.front().has_job());
  const v1::Job& job = messages.back().job();
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_NEAR(job.fit_result().report().log_likelihood(), -1130.263960, 1e-4);
  EXPECT_NEAR(job.fit_result().report().criteria().bic(), 2322.19, 1e-2);
  EXPECT_EQ(job.fit_result().report().termination(), v1::TERMINATION_CONVERGED);
  int64_t last = 0;
  for (const v1::FitResponse& message : messages) {
    for (const v1::JobEvent& event : message.events()) EXPECT_EQ(event.sequence(), ++last);
  }
  EXPECT_EQ(last, job.last_sequence());
}

TEST_F(JobServiceTest, AWatchCutAnywhereResumesWithoutGapOrDuplicate) {
  v1::FitRequest fit = FaithfulFit(3);
  fit.mutable_fit()->mutable_stopping()->set_max_iterations(500);
  fit.mutable_fit()->mutable_stopping()->set_relative_tolerance(0);
  fit.mutable_fit()->set_restarts(3);
  const v1::Job done = Fit(fit);
  std::vector<int64_t> seen;
  bool ended = false;
  for (int connections = 0; !ended && connections < 1000; ++connections) {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_name(done.name());
    request.set_after_sequence(seen.empty() ? 0 : seen.back());
    const auto reader = client_->jobs->WatchJob(&context, request);
    const int patience = 1 + connections % 3;
    v1::WatchJobResponse message;
    bool more = true;
    for (int i = 0; i < patience && (more = reader->Read(&message)); ++i) {
      for (const v1::JobEvent& event : message.events()) seen.push_back(event.sequence());
      EXPECT_EQ(message.skipped_count(), 0);
    }
    ended = !more;
    if (!ended) context.TryCancel();
    const grpc::Status status = reader->Finish();
    if (ended) {
      EXPECT_TRUE(status.ok()) << status.error_message();
    }
  }
  std::vector<int64_t> all(static_cast<size_t>(done.last_sequence()));
  std::iota(all.begin(), all.end(), 1);
  EXPECT_EQ(seen, all);
}

TEST_F(JobServiceTest, AReaderThatDoesNotReadHoldsNothingUpAndIsSkippedAhead) {
  v1::CreateJobRequest request = Endless();
  request.mutable_job()->mutable_fit()->mutable_stopping()->set_max_iterations(30000);
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  grpc::ClientContext idle_context;
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  const auto idle = client_->jobs->WatchJob(&idle_context, watch);  // never read until the end
  EXPECT_EQ(AwaitEnd(job.name()).state(), v1::JOB_STATE_SUCCEEDED);
  int64_t last = 0, skipped = 0;
  v1::Job result;
  for (v1::WatchJobResponse message; idle->Read(&message);) {
    skipped += message.skipped_count();
    for (const v1::JobEvent& event : message.events()) {
      EXPECT_GT(event.sequence(), last);
      last = event.sequence();
    }
    if (message.has_job()) result = message.job();
  }
  EXPECT_TRUE(idle->Finish().ok());
  EXPECT_EQ(result.state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(last, result.last_sequence());
  EXPECT_LE(result.last_sequence(), TestOptions().max_events_per_job);
  EXPECT_GE(skipped, 0);
}

TEST_F(JobServiceTest, CancelStopsARunningJob) {
  const std::string name = StartEndlessJob("endless");
  AwaitIteration(name);
  ASSERT_TRUE(Cancel(name).ok());
  const v1::Job job = AwaitEnd(name);
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_FALSE(job.has_fit_result());
  EXPECT_EQ(Cancel(name).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(JobServiceTest, AClientThatGoesAwayDoesNotEndTheFit) {
  grpc::ClientContext context;
  v1::FitRequest request = FaithfulFit(2);
  *request.mutable_fit() = EndlessSpec();
  request.set_job_id("orphan");
  const auto reader = client_->jobs->Fit(&context, request);
  v1::FitResponse message;
  ASSERT_TRUE(reader->Read(&message));
  context.TryCancel();
  reader->Finish();
  AwaitIteration("jobs/orphan");
  EXPECT_EQ(GetJob("jobs/orphan").state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(Cancel("jobs/orphan").ok());
}

TEST_F(JobServiceTest, ASmallFitDuringALongOneStartsAtOnce) {
  const std::string name = StartEndlessJob("long");
  AwaitIteration(name);
  EXPECT_EQ(Fit(FaithfulFit(2)).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(GetJob(name).state(), v1::JOB_STATE_RUNNING);
}

TEST_F(JobServiceTest, EventsAreListedFromWhereThereAreSome) {
  const v1::Job job = Fit(FaithfulFit(2));
  const auto list = [&](int64_t after, const std::string& token, v1::ListJobEventsResponse* page) {
    grpc::ClientContext context;
    v1::ListJobEventsRequest request;
    request.set_parent(job.name());
    request.set_after_sequence(after);
    request.set_page_size(3);
    request.set_page_token(token);
    return client_->jobs->ListJobEvents(&context, request, page);
  };
  v1::ListJobEventsResponse page;
  int64_t sequence = 2;
  std::string token;
  do {
    page.Clear();
    ASSERT_TRUE(list(2, token, &page).ok());
    for (const v1::JobEvent& event : page.events()) EXPECT_EQ(event.sequence(), ++sequence);
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_EQ(sequence, job.last_sequence());

  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const int64_t after : {int64_t{-1}, -kMost, job.last_sequence() + 1, kMost}) {
    EXPECT_THAT(list(after, "", &page),
                IsBadField(grpc::StatusCode::OUT_OF_RANGE, "after_sequence"));
  }
  for (const std::string cursor : {"1", "-5", "999999", "9223372036854775807", "x"}) {
    const std::string forged =
        absl::WebSafeBase64Escape("events/" + job.name().substr(5) + "/2\n" + cursor);
    EXPECT_THAT(list(2, forged, &page),
                IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "page_token"))
        << cursor;
  }
}

TEST_F(JobServiceTest, AJobCountsAllThatItsRequestHolds) {
  ServerOptions options = TestOptions();
  options.max_held_bytes = 1 << 20;
  StartServer(options);
  v1::CreateJobRequest request = Endless();
  v1::CreateJobRequest::GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      4000, std::string(2 << 20, 'x'));
  const grpc::Status status = Create(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(Detail(status, kReasonPayload), "JOB_MEMORY_FULL");
}

TEST_F(JobServiceTest, AFullQueueRefusesWithTheTimeToComeBack) {
  ServerOptions options = TestOptions();
  options.max_running_jobs = 1;
  options.max_queued_jobs = 1;
  StartServer(options);
  const std::string running = StartEndlessJob("running");
  AwaitIteration(running);
  StartEndlessJob("queued");
  grpc::ClientContext context;
  const grpc::Status status = Create(Endless(), nullptr, &context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_NE(Detail(status, kRetryPayload), "");
  EXPECT_NE(Detail(status, kQuotaPayload), "");
  EXPECT_EQ(context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);
  ASSERT_TRUE(Cancel("jobs/queued").ok());
  EXPECT_EQ(GetJob("jobs/queued").state(), v1::JOB_STATE_CANCELLED);
  EXPECT_TRUE(Create(Endless()).ok());
}

TEST_F(JobServiceTest, ADeadlineFailsTheJobAndNotTheWatch) {
  v1::CreateJobRequest request = Endless();
  request.mutable_job()->mutable_timeout()->set_nanos(50'000'000);
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  job = AwaitEnd(job.name());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(job.error().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(JobServiceTest, TwoClientsWatchTheSameJobToItsEnd) {
  const std::string name = StartEndlessJob("shared");
  AwaitIteration(name);
  Client other(server_->port());
  v1::Job seen;
  std::thread watcher([&] {
    grpc::ClientContext context;
    v1::WatchJobRequest request;
    request.set_name(name);
    const auto reader = other.jobs->WatchJob(&context, request);
    for (v1::WatchJobResponse message; reader->Read(&message);) {
      if (message.has_job()) seen = message.job();
    }
    EXPECT_TRUE(reader->Finish().ok());
  });
  EXPECT_TRUE(Cancel(name).ok());
  EXPECT_EQ(AwaitEnd(name).state(), v1::JOB_STATE_CANCELLED);
  watcher.join();
  EXPECT_EQ(seen.state(), v1::JOB_STATE_CANCELLED);
}

TEST_F(JobServiceTest, DrainEndsJobsAndTheirWatches) {
  const std::string name = StartEndlessJob("drained");
  grpc::ClientContext context;
  v1::WatchJobRequest request;
  request.set_name(name);
  const auto reader = client_->jobs->WatchJob(&context, request);
  v1::WatchJobResponse message;
  ASSERT_TRUE(reader->Read(&message));  // the watch is there before the drain begins
  std::thread drain([this] { server_->Drain(); });
  v1::Job seen;
  while (reader->Read(&message)) {
    if (message.has_job()) seen = message.job();
  }
  const grpc::Status status = reader->Finish();
  drain.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(seen.state(), v1::JOB_STATE_CANCELLED) << seen.ShortDebugString();
}

TEST_F(JobServiceTest, TheSameRequestIdIsTheSameJob) {
  v1::CreateJobRequest request = Endless();
  request.set_request_id("once");
  v1::Job first, second;
  ASSERT_TRUE(Create(request, &first).ok());
  ASSERT_TRUE(Create(request, &second).ok());
  EXPECT_EQ(first.name(), second.name());
  request.mutable_job()->mutable_fit()->set_seed(9);
  EXPECT_THAT(Create(request), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "request_id"));
}

TEST_F(JobServiceTest, ValidateOnlyQueuesNothing) {
  v1::CreateJobRequest request = Endless();
  request.set_validate_only(true);
  request.set_job_id("checked");
  EXPECT_TRUE(Create(request).ok());
  grpc::ClientContext context;
  v1::GetJobRequest get;
  get.set_name("jobs/checked");
  v1::GetJobResponse response;
  const grpc::Status status = client_->jobs->GetJob(&context, get, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(Detail(status, kResourcePayload), HasSubstr("jobs/checked"));
}

TEST_F(JobServiceTest, SameBitsWithAnyNumberOfThreads) {
  std::vector<std::vector<double>> results;
  for (const int64_t threads : {1, 2, 7}) {
    ServerOptions options = TestOptions();
    options.threads = threads;
    StartServer(options);
    v1::FitRequest request = FaithfulFit(3);
    request.mutable_fit()->set_seed(11);
    request.mutable_fit()->set_model_id("m");
    Fit(request);
    results.push_back(Parameters("models/m"));
    ASSERT_FALSE(results.back().empty());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST_F(JobServiceTest, BadSpecificationsAreRefusedWithTheField) {
  const auto refused = [this](auto change, const char* field) {
    v1::FitRequest request = FaithfulFit(2);
    change(request);
    EXPECT_THAT(Refused(request), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, field));
  };
  refused(
      [](auto& r) { r.mutable_fit()->mutable_model()->mutable_mixture()->set_num_components(0); },
      "fit.model.mixture.num_components");
  refused(
      [](auto& r) {
        r.mutable_fit()
            ->mutable_model()
            ->mutable_mixture()
            ->mutable_emission()
            ->mutable_gaussian()
            ->set_ridge(std::nan(""));
      },
      "fit.model.mixture.emission.gaussian.ridge");
  refused([](auto& r) { r.mutable_fit()->set_restarts(0); }, "fit.restarts");
  refused([](auto& r) { r.mutable_fit()->mutable_stopping()->set_max_iterations(-1); },
          "fit.stopping.max_iterations");
  refused([](auto& r) { r.mutable_fit()->add_columns("nowhere"); }, "fit.columns[0]");
  refused([](auto& r) { r.mutable_fit()->set_weight_column("nowhere"); }, "fit.weight_column");
  refused([](auto& r) { r.mutable_fit()->set_dataset("datasets/x"); }, "fit.dataset");
  refused([](auto& r) { r.clear_inline_data(); }, "fit.dataset");
  refused([](auto& r) { r.mutable_inline_data()->set_num_columns(5); }, "inline_data.values");
  refused([](auto& r) { r.mutable_inline_data()->set_num_columns(-2); }, "inline_data.num_columns");
  refused([](auto& r) { r.mutable_inline_data()->clear_values(); }, "inline_data");
  refused([](auto& r) { r.set_job_id("Not An Id"); }, "job_id");
}

TEST_F(JobServiceTest, DataThatCannotSupportTheModelIsRefusedWithTheRemedy) {
  v1::FitRequest constant = FaithfulFit(1);
  constant.mutable_inline_data()->clear_values();
  for (const double value : {1, 5, 2, 5, 3, 5, 4, 5})
    constant.mutable_inline_data()->add_values(value);
  EXPECT_THAT(Refused(constant), IsStatus(grpc::StatusCode::FAILED_PRECONDITION, "c1"));
  v1::FitRequest few = FaithfulFit(5);
  few.mutable_inline_data()->clear_values();
  for (const double value : {1, 5, 2, 6, 3, 9, 4, 5}) few.mutable_inline_data()->add_values(value);
  EXPECT_FALSE(Refused(few).ok());
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    v1::FitRequest hole = FaithfulFit(2);
    hole.mutable_inline_data()->set_values(7, bad);
    EXPECT_THAT(Refused(hole), IsStatus(grpc::StatusCode::INVALID_ARGUMENT, "inline_data[3]"));
  }
}

}  // namespace
}  // namespace emserve::server
