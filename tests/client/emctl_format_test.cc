// What emctl prints, without a server.
#include <cmath>

#include "absl/strings/cord.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/json.h"
#include "client/emctl/progress.h"
#include "client/emctl/text.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/wire/status.h"

namespace emserve::emctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextTable, LinesUpColumnsByWhatTheyShow) {
  TextTable table("lr");
  table.Add({"größe", "1"});
  table.Add({"x", "22"});
  EXPECT_EQ(table.ToString(), "größe   1\nx      22\n");
}

TEST(Text, MakesForeignTextHarmless) { EXPECT_EQ(Printable("a\x1b[2J\nb"), "a [2J b"); }

TEST(Text, WritesSizes) {
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(int64_t{5} << 30), "5.0 GiB");
}

TEST(Text, WritesTimesInUtc) {
  google::protobuf::Timestamp time;
  EXPECT_EQ(FormatTime(time), "");
  time.set_seconds(1'769'864'700);
  EXPECT_EQ(FormatTime(time), "2026-01-31 13:05:00Z");
}

TEST(ToJson, WritesMessagesAsPeopleExpectThem) {
  v1::Job job;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "jobs/a"
        state: JOB_STATE_FAILED
        fit {
          dataset: "datasets/d"
          stopping { time_budget { seconds: 1 nanos: 500000000 } }
        }
        create_time { seconds: 0 nanos: 250000000 }
        error { code: 9 message: "no" }
      )pb",
      &job));
  const Json json = ToJson(job);
  EXPECT_EQ(json["state"], "failed");
  EXPECT_EQ(json["fit"]["stopping"]["time_budget"], 1.5);
  EXPECT_FALSE(json["fit"]["stopping"].contains("max_iterations"));
  EXPECT_EQ(json["create_time"], "1970-01-01T00:00:00.250Z");
  EXPECT_EQ(json["error"].dump(), R"({"code":"FAILED_PRECONDITION","message":"no"})");
  EXPECT_FALSE(json.contains("predict"));
  v1::Model model;
  (*model.mutable_aliases())["prod"] = 3;
  EXPECT_EQ(ToJson(model)["aliases"].dump(), R"({"prod":3})");
}

TEST(ToJson, ShowsScalarsAndBrokenTensors) {
  v1::Tensor scalar;
  scalar.add_values(2.5);
  EXPECT_EQ(TensorToJson(scalar), 2.5);
  v1::Tensor broken;
  broken.add_shape(3);
  EXPECT_TRUE(TensorToJson(broken).is_null());
  v1::Tensor edges;
  edges.add_shape(3);
  for (const double value : {std::nan(""), -HUGE_VAL, HUGE_VAL}) edges.add_values(value);
  EXPECT_EQ(TensorToJson(edges).dump(), R"([null,"-Infinity","Infinity"])");
}

TEST(IterationLines, ShowChangeAndRate) {
  IterationLines lines;
  v1::IterationEvent event;
  event.set_objective(-100);
  EXPECT_THAT(lines.Format(event), Not(HasSubstr("change")));
  event.set_iteration(1);
  event.set_change(8);
  EXPECT_THAT(lines.Format(event), Not(HasSubstr("rate")));
  event.set_iteration(2);
  event.set_change(4);
  EXPECT_EQ(lines.Format(event), "restart 0  iteration    2  objective -100  change 4  rate 0.500");
  // Two iterations later the change has fallen to a quarter: the rate is a half again.
  event.set_iteration(4);
  event.set_change(1);
  EXPECT_THAT(lines.Format(event), HasSubstr("rate 0.500"));
  event.set_restart(1);
  EXPECT_THAT(lines.Format(event), Not(HasSubstr("rate")));
}

TEST(IterationLines, NameThePhaseAndTheCandidate) {
  IterationLines lines;
  v1::IterationEvent event;
  event.set_objective(-100);
  event.set_phase(v1::PHASE_SHORT_RUN);
  EXPECT_EQ(lines.Format(event), "restart 0  short run  iteration    0  objective -100");
  event.set_phase(v1::PHASE_CLIMB);
  event.set_candidate(3);
  EXPECT_EQ(lines.Format(event), "candidate 3  restart 0  iteration    0  objective -100");
}

TEST(IterationLines, AreThinnedOut) {
  IterationLines lines;
  const absl::Time now = absl::UnixEpoch();
  v1::IterationEvent event;
  int worth = 0;
  for (int i = 0; i <= 1000; ++i) {
    event.set_iteration(i);
    event.set_objective(-1000.0 + i);
    worth += lines.IsWorthALine(event, now);
  }
  EXPECT_EQ(worth, 11);  // 0, 1, 2, 5, ..., 1000
  event.set_iteration(1001);
  EXPECT_TRUE(lines.IsWorthALine(event, now + absl::Seconds(2)));
  event.set_restart(1);
  event.set_iteration(2);
  event.set_objective(-5000);
  EXPECT_FALSE(lines.IsWorthALine(event, now + absl::Seconds(2)));
  event.set_objective(5000);
  EXPECT_TRUE(lines.IsWorthALine(event, now + absl::Seconds(2)));
}

TEST(ProgressBar, ShowsShareAmountAndSpeed) {
  EXPECT_EQ(ProgressBar("up", 512, 1024, absl::Seconds(1), 10),
            "up [=====     ]  50%  512 B of 1.0 KiB  512 B/s");
}

TEST(ExitStatus, FollowsTheCode) {
  EXPECT_EQ(ExitStatusOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitStatusOf(absl::FailedPreconditionError("x")), 1);
  EXPECT_EQ(ExitStatusOf(absl::ResourceExhaustedError("x")), 1);
  EXPECT_EQ(ExitStatusOf(absl::DataLossError("x")), 1);
  EXPECT_EQ(ExitStatusOf(absl::CancelledError("x")), 1);
  EXPECT_EQ(ExitStatusOf(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitStatusOf(absl::NotFoundError("x")), 2);
  EXPECT_EQ(ExitStatusOf(absl::AlreadyExistsError("x")), 2);
  EXPECT_EQ(ExitStatusOf(absl::OutOfRangeError("x")), 2);
  EXPECT_EQ(ExitStatusOf(DataRefused(absl::FailedPreconditionError("x"))), 2);
  EXPECT_EQ(ExitStatusOf(DataRefused(absl::DataLossError("x"))), 2);
  EXPECT_EQ(ExitStatusOf(DataRefused(absl::ResourceExhaustedError("x"))), 1);
  EXPECT_EQ(ExitStatusOf(absl::UnavailableError("x")), 3);
  v1::Job job;
  job.set_name("jobs/a");
  job.set_state(v1::JOB_STATE_FAILED);
  job.mutable_error()->set_code(static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  job.mutable_error()->set_message("too slow");
  EXPECT_EQ(ExitStatusOf(JobFailure(job)), 1);
  EXPECT_EQ(ErrorLine(JobFailure(job)), "jobs/a failed: too slow");
  job.set_state(v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(JobFailure(job).ok());
}

TEST(ErrorLine, IsOneLineWithTheField) {
  absl::Status status = absl::InvalidArgumentError("must be\npositive");
  status.SetPayload(kFieldPayload, absl::Cord("job.fit.restarts"));
  EXPECT_EQ(ErrorLine(status), "--restarts: must be positive");
  status = absl::InvalidArgumentError("job.fit.restarts: got 0, must be 1 or more");
  status.SetPayload(kFieldPayload, absl::Cord("job.fit.restarts"));
  EXPECT_EQ(ErrorLine(status), "--restarts: got 0, must be 1 or more");
}

TEST(PredictionRefused, TellsTheWayOutForSizesOnly) {
  const absl::Status rows = absl::InvalidArgumentError(
      "table: got 9 rows, must be at most 8 with these outputs, so that the answer fits a message; "
      "send them in parts or as a dataset");
  EXPECT_EQ(ErrorLine(PredictionRefused(rows, true)),
            "--data: got 9 rows, must be at most 8 with these outputs, so that the answer fits a "
            "message; a sequence travels in one message; put the data on the server with emctl "
            "datasets upload and predict it there with emctl predict --dataset");
  const absl::Status message =
      absl::ResourceExhaustedError("Received message larger than max (9 vs. 8)");
  EXPECT_THAT(ErrorLine(PredictionRefused(message, false)),
              "Received message larger than max (9 vs. 8); put the data on the server with emctl "
              "datasets upload and predict it there with emctl predict --dataset");
  EXPECT_EQ(ExitStatusOf(PredictionRefused(message, true)), kExitUsage);
  absl::Status busy = absl::ResourceExhaustedError("got a call that needs 9 bytes; try again");
  busy.SetPayload(kReasonPayload, absl::Cord("CALL_MEMORY_FULL"));
  busy.SetPayload(kRetryPayload, absl::Cord("1000"));
  EXPECT_EQ(PredictionRefused(busy, true), busy);
  absl::Status large = absl::ResourceExhaustedError("got an answer of 9 bytes");
  large.SetPayload(kReasonPayload, absl::Cord("RESPONSE_TOO_LARGE"));
  const absl::Status told = PredictionRefused(large, true);
  EXPECT_THAT(std::string(told.message()), HasSubstr("emctl datasets upload"));
  EXPECT_EQ(told.GetPayload(kReasonPayload), absl::Cord("RESPONSE_TOO_LARGE"));
}

TEST(ErrorDocument, HoldsCodeMessageAndField) {
  absl::Status status = absl::InvalidArgumentError("job.fit.restarts: got 0, must be 1 or more");
  status.SetPayload(kFieldPayload, absl::Cord("job.fit.restarts"));
  EXPECT_EQ(ErrorDocument(status).dump(),
            R"({"error":{"code":"INVALID_ARGUMENT",)"
            R"("message":"--restarts: got 0, must be 1 or more","field":"job.fit.restarts"}})");
  // Only some details carry the field; the message always does.
  EXPECT_EQ(
      ErrorDocument(absl::FailedPreconditionError("job.fit.columns[b]: got 1"))["error"]["field"],
      "job.fit.columns[b]");
  EXPECT_EQ(ErrorDocument(absl::NotFoundError("models/m: not found")).dump(),
            R"({"error":{"code":"NOT_FOUND","message":"models/m: not found"}})");
}

}  // namespace
}  // namespace emserve::emctl
