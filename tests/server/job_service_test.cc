// JobService over a real socket: fits, watches that break and resume, cancellation, limits,
// deadlines, drain.
#include <numeric>
#include <thread>

#include "absl/strings/escaping.h"
#include "google/protobuf/unknown_field_set.h"
#include "tests/server/service_test.h"

namespace emserve::server {
namespace {

using ::testing::AnyOf;
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
  v1::FitRequest infinite = FaithfulFit(2);
  infinite.mutable_inline_data()->set_values(7, std::numeric_limits<double>::infinity());
  EXPECT_THAT(Refused(infinite), IsStatus(grpc::StatusCode::INVALID_ARGUMENT, "inline_data[3]"));
}

TEST_F(JobServiceTest, FieldsOfLabelsAndConstraintsAreNamed) {
  const auto refused = [this](auto change, const char* field) {
    v1::FitRequest request = FaithfulFit(2);
    change(request);
    EXPECT_THAT(Refused(request), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, field));
  };
  refused([](auto& r) { r.mutable_fit()->set_label_column("c1"); }, "fit.label_column");
  refused([](auto& r) { r.mutable_fit()->add_plausibility_columns("c1"); },
          "fit.plausibility_columns");
  refused(
      [](auto& r) {
        r.mutable_fit()->mutable_start()->mutable_responsibility_columns()->add_columns("c9");
      },
      "fit.start.responsibility_columns.columns[0]");
  refused(
      [](auto& r) {
        auto& mixture = *r.mutable_fit()->mutable_model()->mutable_mixture();
        mixture.mutable_constraints()->add_fixed()->set_array("nothing");
      },
      "fit.model.mixture.constraints.fixed[0].array");
  refused([](auto& r) { r.mutable_fit()->mutable_update(); }, "fit.update");
  refused([](auto& r) { r.mutable_fit()->mutable_variant()->set_stepwise_delay(0); },
          "fit.variant.stepwise_delay");
  refused(
      [](auto& r) {
        auto& emission = *r.mutable_fit()->mutable_model()->mutable_mixture()->mutable_emission();
        auto& product = *emission.mutable_product();
        for (const char* name : {"a", "b"}) {
          auto& part = *product.add_parts();
          part.set_name(name);
          part.add_columns(name == std::string("a") ? "c0" : "c1");
          part.mutable_emission()->mutable_gaussian()->set_ridge(2);
        }
      },
      "fit.model.mixture.emission.product.parts[0].emission.gaussian.ridge");
}

// Rows are judged before a job is made, and named in the text where no field holds them.
TEST_F(JobServiceTest, RowsThatCannotBeFittedAreRefusedAtOnce) {
  const auto inline_fit = [](std::vector<double> values, int num_columns) {
    v1::CreateJobRequest request;
    for (const double value : values) request.mutable_inline_data()->add_values(value);
    request.mutable_inline_data()->set_num_columns(num_columns);
    request.mutable_job()->mutable_fit()->mutable_model()->mutable_mixture();
    return request;
  };
  const auto emission = [](v1::CreateJobRequest& request) {
    v1::MixtureSpec& mixture =
        *request.mutable_job()->mutable_fit()->mutable_model()->mutable_mixture();
    return mixture.mutable_emission();
  };
  v1::CreateJobRequest counts = inline_fit({1, 2, 3.5, 4}, 1);
  emission(counts)->mutable_poisson();
  EXPECT_THAT(Create(counts), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "inline_data[2]"));
  v1::CreateJobRequest directions = inline_fit({1, 0, 0, 1, 3, 4}, 2);
  emission(directions)->mutable_von_mises_fisher();
  EXPECT_THAT(Create(directions), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "inline_data[2]"));
  v1::CreateJobRequest far = inline_fit({1e8, 1e8 + 1, 1e8 + 2, 1e8 + 3}, 1);
  emission(far)->mutable_gaussian();
  far.mutable_job()->mutable_fit()->set_storage(v1::STORAGE_FLOAT32);
  EXPECT_THAT(Create(far), IsStatus(grpc::StatusCode::FAILED_PRECONDITION, "columns[c0]: got"));

  emserve::testing::Data data;
  data.num_columns = 1;
  data.values = {1, 2, 3.5, 4};
  counts.clear_inline_data();
  counts.mutable_job()->mutable_fit()->set_dataset(Upload("counts", data));
  EXPECT_THAT(Create(counts), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "job.fit.dataset"));
  EXPECT_THAT(Create(counts), IsStatus(grpc::StatusCode::INVALID_ARGUMENT, "in row 2, must be"));
}

TEST_F(JobServiceTest, RowsOfLabelsAndPlausibilitiesAreNamedInTheText) {
  v1::CreateJobRequest request;
  v1::FitSpec& fit = *request.mutable_job()->mutable_fit();
  v1::MixtureSpec& mixture = *fit.mutable_model()->mutable_mixture();
  mixture.set_num_components(2);
  mixture.mutable_emission()->mutable_gaussian();
  for (const double value : {1, 0, 2, 1, 4, 7, 5, 0})
    request.mutable_inline_data()->add_values(value);
  for (const char* name : {"x", "z"}) request.mutable_inline_data()->add_columns(name);
  fit.set_label_column("z");
  EXPECT_THAT(Create(request),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "job.fit.label_column"));
  EXPECT_THAT(Create(request),
              IsStatus(grpc::StatusCode::INVALID_ARGUMENT, "got 7 in row 2, must"));
  fit.clear_label_column();
  fit.add_columns("x");
  for (const char* name : {"x", "z"}) fit.add_plausibility_columns(name);
  request.mutable_inline_data()->set_values(5, -3);
  EXPECT_THAT(Create(request),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "job.fit.plausibility_columns[1]"));
  EXPECT_THAT(Create(request),
              IsStatus(grpc::StatusCode::INVALID_ARGUMENT, "got -3 in row 2, must"));
  fit.clear_plausibility_columns();
  fit.set_weight_column("z");
  EXPECT_THAT(Create(request),
              IsBadField(grpc::StatusCode::INVALID_ARGUMENT, "job.fit.weight_column"));
}

TEST_F(JobServiceTest, AJobThatNeedsTooMuchMemoryIsRefused) {
  ServerOptions options = TestOptions();
  options.max_working_bytes = 1 << 16;
  StartServer(options);
  v1::CreateJobRequest request;
  *request.mutable_job()->mutable_fit() = FaithfulFit(100).fit();
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  const grpc::Status status = Create(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(Detail(status, kReasonPayload), "JOB_TOO_LARGE");
}

// What only the run finds out is said as at submission.
TEST_F(JobServiceTest, AJobsErrorNamesTheFieldOfItsRequest) {
  v1::FitRequest fit = FaithfulFit(1);
  fit.mutable_fit()->set_model_id("near");
  Fit(fit);
  emserve::testing::Data far;
  far.num_columns = 2;
  far.values = {3, 70, 1e200, 0};
  v1::CreateJobRequest request;
  request.mutable_job()->mutable_predict()->set_model("models/near");
  request.mutable_job()->mutable_predict()->set_dataset(Upload("far", far));
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  job = AwaitEnd(job.name());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(job.error().message(), HasSubstr("job.predict.dataset: got values with"));
  EXPECT_THAT(job.error().message(), HasSubstr("in row 1, must be"));
}

// As emctl's own example does it.
TEST_F(JobServiceTest, ASweepOfKMeansNeedsNoCriterion) {
  v1::CreateJobRequest request;
  v1::SweepSpec& sweep = *request.mutable_job()->mutable_sweep();
  sweep.mutable_base()->mutable_model()->mutable_kmeans();
  for (const int k : {2, 3}) sweep.add_num_components(k);
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  job = AwaitEnd(job.name());
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  EXPECT_EQ(job.sweep_result().criterion(), v1::SWEEP_CRITERION_LOG_LIKELIHOOD);
  EXPECT_EQ(job.sweep_result().best(), 1);
  EXPECT_EQ(job.sweep_result().rows(1).num_components(), 3);
  EXPECT_EQ(job.sweep_result().rows(1).family(), "kmeans");
  EXPECT_EQ(job.sweep_result().rows(1).covariance(), v1::COVARIANCE_UNSPECIFIED);
}

TEST_F(JobServiceTest, ASweepTellsOfItsCandidatesAndKeepsTheBest) {
  v1::CreateJobRequest request;
  v1::SweepSpec& sweep = *request.mutable_job()->mutable_sweep();
  *sweep.mutable_base() = FaithfulFit(1).fit();
  sweep.mutable_base()->set_model_id("best");
  sweep.mutable_base()->mutable_start()->set_method(v1::START_METHOD_KMEANS_PLUS_PLUS);
  for (const int k : {1, 2, 300}) sweep.add_num_components(k);
  sweep.add_covariances(v1::COVARIANCE_FULL);
  sweep.add_covariances(v1::COVARIANCE_TIED_SPHERICAL);
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  v1::Job job;
  const grpc::Status status = Create(request, &job);
  ASSERT_TRUE(status.ok()) << status.error_message();
  grpc::ClientContext context;
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  const auto reader = client_->jobs->WatchJob(&context, watch);
  std::vector<v1::SweepRow> ended;
  for (v1::WatchJobResponse message; reader->Read(&message);) {
    if (message.has_job()) job = message.job();
    for (const v1::JobEvent& event : message.events()) {
      if (event.has_candidate()) ended.push_back(event.candidate().row());
      if (event.has_iteration()) {
        EXPECT_TRUE(event.iteration().has_candidate());
        // Some restarts of the automatic method begin with short runs.
        EXPECT_THAT(event.iteration().phase(), AnyOf(v1::PHASE_CLIMB, v1::PHASE_SHORT_RUN));
      }
    }
  }
  ASSERT_TRUE(reader->Finish().ok());
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.ShortDebugString();
  const v1::SweepResult& result = job.sweep_result();
  ASSERT_EQ(result.rows_size(), 6);
  ASSERT_EQ(ended.size(), 6u);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(result.rows(i).SerializeAsString(),
              ended[static_cast<size_t>(i)].SerializeAsString());
    EXPECT_EQ(result.rows(i).candidate(), i);
    EXPECT_EQ(result.rows(i).family(), "gaussian_mixture");
    EXPECT_EQ(result.rows(i).covariance(),
              i < 3 ? v1::COVARIANCE_FULL : v1::COVARIANCE_TIED_SPHERICAL);
    EXPECT_EQ(result.rows(i).has_error(), i % 3 == 2);
  }
  EXPECT_EQ(result.rows(2).error().code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(result.rows(2).error().message(), HasSubstr("job.sweep.num_components[2]: got 300"));
  EXPECT_EQ(result.rows(2).num_components(), 300);
  EXPECT_EQ(result.best(), 1);
  EXPECT_NEAR(result.rows(1).bic(), 2322.192, 1e-2);
  EXPECT_EQ(result.model_version(), "models/best/versions/1");
  EXPECT_EQ(result.report().criteria().bic(), result.rows(1).bic());
  EXPECT_EQ(job.progress().candidates_done(), 6);
  EXPECT_EQ(job.progress().num_candidates(), 6);
  EXPECT_EQ(Parameters("models/best").size(), 2u + 4 + 8);
}

TEST_F(JobServiceTest, ASweepIsCancelledAndBadOnesAreRefusedWithTheField) {
  v1::CreateJobRequest request;
  v1::SweepSpec& sweep = *request.mutable_job()->mutable_sweep();
  *sweep.mutable_base() = EndlessSpec();
  sweep.add_num_components(2);
  *request.mutable_inline_data() = Inline(emserve::testing::Faithful());
  v1::Job job;
  ASSERT_TRUE(Create(request, &job).ok());
  AwaitIteration(job.name());
  ASSERT_TRUE(Cancel(job.name()).ok());
  EXPECT_EQ(AwaitEnd(job.name()).state(), v1::JOB_STATE_CANCELLED);

  const auto refused = [&](auto change, const char* field) {
    v1::CreateJobRequest bad = request;
    change(*bad.mutable_job()->mutable_sweep());
    EXPECT_THAT(Create(bad), IsBadField(grpc::StatusCode::INVALID_ARGUMENT, field));
  };
  refused([](auto& s) { s.add_num_components(0); }, "job.sweep.num_components[1]");
  refused([](auto& s) { s.mutable_base()->set_restarts(0); }, "job.sweep.base.restarts");
  refused([](auto& s) { s.mutable_base()->set_weight_column("w"); },
          "job.sweep.base.weight_column");
  refused([](auto& s) { s.mutable_base()->set_dataset("datasets/d"); }, "job.sweep.base.dataset");
  refused([](auto& s) { s.add_emissions()->mutable_student_t()->set_ridge(2); },
          "job.sweep.emissions[0].student_t.ridge");
  refused(
      [](auto& s) {
        s.mutable_base()->mutable_model()->mutable_kmeans();
        s.clear_num_components();
        s.set_criterion(v1::SWEEP_CRITERION_BIC);
      },
      "job.sweep.criterion");
}

}  // namespace
}  // namespace emserve::server
