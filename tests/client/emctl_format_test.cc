// What emctl prints, without a server.
#include "client/emctl/exit_status.h"
#include "client/emctl/field_options.h"
#include "client/emctl/json.h"
#include "client/emctl/progress.h"
#include "client/emctl/summary.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/wire/status.h"

namespace emserve::emctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::ModelVersion Version() {
  v1::ModelVersion version;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(
        name: "models/geyser/versions/1"
        family: "gaussian_mixture"
        job: "jobs/j1"
        num_rows: 272
        columns { name: "eruptions" }
        columns { name: "waiting" }
        spec {
          seed: 18446744073709551615
          model {
            mixture {
              num_components: 2
              emission { gaussian { covariance: COVARIANCE_TIED_DIAGONAL } }
            }
          }
        }
        parameters {
          arrays {
            name: "weights"
            tensor { shape: 2 values: 0.25 values: 0.75 }
          }
          arrays {
            name: "means"
            tensor {
              shape: 2
              shape: 2
              values: 2.03639
              values: 54.4785
              values: 4.28966
              values: 79.9681
            }
          }
          arrays {
            name: "variances"
            tensor { shape: 2 values: 0.125 values: 33.5 }
          }
        }
        report {
          objective: -1130.25
          log_likelihood: -1130.25
          termination: TERMINATION_CONVERGED
          message: "change 1e-10 <= 1e-9 x 1131"
          iterations: 23
          total_iterations: 200
          restart: 3
          criteria {
            degrees_of_freedom: 7
            num_observations: 272
            aic: 2274.5
            bic: 2299.75
            icl: 2300.5
          }
          optima { objective: -1130.25 count: 8 first_restart: 0 }
          optima { objective: -1150 count: 2 first_restart: 5 }
          repairs { reason: "VARIANCE_FLOORED" component: 1 amount: 0.5 }
        }
      )pb",
      &version));
  return version;
}

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

TEST(Words, CompleteAndReduceResourceNames) {
  EXPECT_EQ(ResourceName("models", "geyser@prod"), "models/geyser@prod");
  EXPECT_EQ(ResourceName("models", "models/geyser"), "models/geyser");
  EXPECT_EQ(ResourceId("models", "models/geyser"), "geyser");
  EXPECT_EQ(ResourceId("models", "geyser"), "geyser");
  EXPECT_TRUE(NamesVersion("models/m@a"));
  EXPECT_TRUE(NamesVersion("models/m/versions/3"));
  EXPECT_FALSE(NamesVersion("models/m"));
}

TEST(Words, NameEnumValuesWithoutTheirPrefix) {
  EXPECT_EQ(StateWord(v1::JOB_STATE_CANCELLING), "cancelling");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), v1::TERMINATION_ITERATION_LIMIT),
            "iteration_limit");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), 0), "");
  EXPECT_EQ(EnumWord(*v1::Termination_descriptor(), 99), "99");
}

TEST(Words, KnowCovariancesByOurNamesAndMclusts) {
  EXPECT_EQ(ParseCovariance("full"), v1::COVARIANCE_FULL);
  EXPECT_EQ(ParseCovariance("tied_diagonal"), v1::COVARIANCE_TIED_DIAGONAL);
  EXPECT_EQ(ParseCovariance("EEI"), v1::COVARIANCE_TIED_DIAGONAL);
  EXPECT_EQ(ParseCovariance("EII"), v1::COVARIANCE_TIED_SPHERICAL);
  EXPECT_EQ(ParseCovariance("VEV"), std::nullopt);
  EXPECT_EQ(CovarianceWords().size(), static_cast<size_t>(v1::Covariance_MAX));
}

TEST(Words, ReadDurations) {
  EXPECT_EQ(ParseSeconds("90"), absl::Seconds(90));
  EXPECT_EQ(ParseSeconds("1m30s"), absl::Seconds(90));
  EXPECT_EQ(ParseSeconds("0.5"), absl::Milliseconds(500));
  for (const char* text : {"", "0", "-1s", "nan", "inf", "1e300", "soon"}) {
    EXPECT_EQ(ParseSeconds(text), std::nullopt) << text;
  }
  EXPECT_EQ(ToProto(absl::Milliseconds(1500)).seconds(), 1);
  EXPECT_EQ(ToProto(absl::Milliseconds(1500)).nanos(), 500'000'000);
}

TEST(Words, ReadSeparators) {
  EXPECT_EQ(ParseSeparator("tab"), '\t');
  EXPECT_EQ(ParseSeparator("\\t"), '\t');
  EXPECT_EQ(ParseSeparator("\t"), '\t');
  EXPECT_EQ(ParseSeparator(";"), ';');
  EXPECT_EQ(ParseSeparator(" "), ' ');
  for (const char* word : {"", ";;", "\"", "a", "1", ".", "-", "\n"}) {
    EXPECT_EQ(ParseSeparator(word), std::nullopt) << word;
  }
}

TEST(FitDocument, HoldsTheFiguresFlatAndParametersNested) {
  v1::WarningEvent warning;
  warning.set_reason("RESTART_FAILED");
  const Json document = FitDocument(Version(), {warning});
  EXPECT_EQ(document["log_likelihood"], -1130.25);
  EXPECT_EQ(document["bic"], 2299.75);
  EXPECT_EQ(document["aic"], 2274.5);
  EXPECT_EQ(document["icl"], 2300.5);
  EXPECT_EQ(document["degrees_of_freedom"], 7);
  EXPECT_EQ(document["termination"], "converged");
  EXPECT_EQ(document["message"], "change 1e-10 <= 1e-9 x 1131");
  EXPECT_EQ(document["iterations"], 23);
  EXPECT_EQ(document["restart"], 3);
  EXPECT_EQ(document["seed"], 18446744073709551615u);
  EXPECT_EQ(document["model"], "models/geyser/versions/1");
  EXPECT_EQ(document["job"], "jobs/j1");
  EXPECT_EQ(document["parameters"]["weights"].dump(), "[0.25,0.75]");
  EXPECT_EQ(document["parameters"]["means"].dump(), "[[2.03639,54.4785],[4.28966,79.9681]]");
  EXPECT_EQ(document["optima"][1]["count"], 2);
  EXPECT_EQ(document["repairs"][0]["reason"], "VARIANCE_FLOORED");
  EXPECT_EQ(document["warnings"][0]["reason"], "RESTART_FAILED");
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
}

TEST(Summary, ShowsFiguresTablesOptimaAndRepairs) {
  const std::string text = Summary(Version(), {});
  EXPECT_THAT(text, HasSubstr("Gaussian mixture, tied-diagonal covariance"));
  EXPECT_THAT(text, HasSubstr("272 rows of eruptions, waiting"));
  EXPECT_THAT(text, HasSubstr("converged after 23 iterations of restart 3"));
  EXPECT_THAT(text, HasSubstr("log-likelihood   -1130.250000"));
  EXPECT_THAT(text, HasSubstr("component  weights\n"
                              "        0     0.25\n"
                              "        1     0.75\n"));
  EXPECT_THAT(text, HasSubstr("means  eruptions  waiting\n"
                              "0        2.03639  54.4785\n"
                              "1        4.28966  79.9681\n"));
  // Two columns and two components: the shape alone would not tell which one this is.
  EXPECT_THAT(text, HasSubstr("variances  eruptions  waiting\n"
                              "all            0.125     33.5\n"));
  EXPECT_THAT(text, HasSubstr("-1130.250000         8\n"));
  EXPECT_THAT(text, HasSubstr("repair: VARIANCE_FLOORED, component 1, amount 0.5"));
}

TEST(Summary, CountsRepairsForTheSameReason) {
  v1::ModelVersion version = Version();
  for (int k = 2; k < 6; ++k) {
    v1::Repair& repair = *version.mutable_report()->add_repairs();
    repair.set_reason("VARIANCE_FLOORED");
    repair.set_component(k);
    repair.set_amount(k == 3 ? 7.5 : 0.25);
  }
  v1::Repair& empty = *version.mutable_report()->add_repairs();
  empty.set_reason("COMPONENT_EMPTY");
  empty.set_component(0);
  EXPECT_THAT(
      Summary(version, {}),
      HasSubstr("\nrepair: VARIANCE_FLOORED, 5 times, the largest, component 3, amount 7.5\n"
                "repair: COMPONENT_EMPTY, component 0, amount 0\n"));
}

TEST(Summary, MarksOptimaThatLostBecauseTheyAreDegenerate) {
  v1::ModelVersion version = Version();
  v1::FitReport& report = *version.mutable_report();
  EXPECT_THAT(Summary(version, {}), Not(HasSubstr("degenerate")));
  v1::Optimum& higher = *report.add_optima();
  higher.set_objective(-900);
  higher.set_count(3);
  EXPECT_THAT(Summary(version, {}),
              HasSubstr("-1130.250000         8\n"
                        "-1150.000000         2\n"
                        " -900.000000         3  (degenerate, not chosen)\n"));
  for (int i = 0; i < 6; ++i) report.add_restarts()->set_restart(i);
  report.mutable_restarts(5)->set_termination(v1::TERMINATION_DEGENERATE);
  EXPECT_THAT(Summary(version, {}),
              HasSubstr("-1150.000000         2  (degenerate, not chosen)\n"));
  report.set_termination(v1::TERMINATION_DEGENERATE);
  EXPECT_THAT(Summary(version, {}), HasSubstr("-1130.250000         8  (degenerate)\n"));
}

TEST(Summary, LeavesOutWhatIsNotKnownOfADeletedVersion) {
  v1::ModelVersion version = Version();
  version.clear_parameters();
  version.clear_columns();
  version.clear_num_rows();
  const std::string text = Summary(version, {});
  EXPECT_THAT(text, HasSubstr("log-likelihood   -1130.250000"));
  EXPECT_THAT(text, Not(HasSubstr("component  ")));
  EXPECT_THAT(text, Not(HasSubstr("rows of")));
  const Json document = FitDocument(version, {});
  EXPECT_EQ(document["bic"], 2299.75);
  for (const char* key : {"parameters", "columns", "num_rows"}) {
    EXPECT_TRUE(document[key].is_null()) << key;
  }
}

TEST(Summary, ShowsTheFirstWarningsAndCountsTheOthers) {
  v1::WarningEvent warning;
  warning.set_reason("RESTART_FAILED");
  warning.set_message("component 1 is empty");
  warning.set_restart(7);
  const std::string text = Summary(Version(), std::vector<v1::WarningEvent>(12, warning));
  EXPECT_THAT(text, HasSubstr("\nwarning RESTART_FAILED, restart 7: component 1 is empty\n"));
  EXPECT_THAT(text, HasSubstr("\nand 2 more warnings (use --json)\n"));
  warning.set_restart(-1);
  EXPECT_EQ(WarningLine(warning), "warning RESTART_FAILED: component 1 is empty");
}

TEST(Summary, NamesParametersThatAreTooLarge) {
  v1::ModelVersion version = Version();
  for (int c = 0; c < 50; ++c) version.add_columns()->set_name("c" + std::to_string(c));
  EXPECT_THAT(Summary(version, {}), HasSubstr("not shown (use --json): means [2, 2]"));
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

TEST(InOptions, NamesTheOptionInThePlaceOfTheField) {
  const auto options = [](const char* message) { return InOptions(message); };
  EXPECT_EQ(options("job.fit.model.mixture.num_components: got 0, must be at least 1"),
            "-k/--components: got 0, must be at least 1");
  EXPECT_EQ(options("job.fit.model.mixture.emission.gaussian.ridge: got 3"), "--ridge: got 3");
  EXPECT_EQ(options("job.fit.model_id: got x"), "--model: got x");
  EXPECT_EQ(options("job.fit.columns[2]: got \"z\""), "--columns: got \"z\"");
  EXPECT_EQ(options("job.fit.columns[a b]: got inf in row 1, must be finite"),
            "column \"a b\": got inf in row 1, must be finite; rows count from 0");
  EXPECT_EQ(options("job.predict.outputs[0]: got 9"), "--outputs: got 9");
  EXPECT_EQ(options("num_rows: got 0"), "-n/--rows: got 0");
  EXPECT_EQ(options("models/m: got 2 aliases; delete the aliases or use force"),
            "models/m: got 2 aliases; delete the aliases or use --force");
  EXPECT_EQ(options("h:1: the server there does not speak TLS; connect without TLS"),
            "h:1: the server there does not speak TLS; leave out --tls");
}

TEST(InOptions, LeavesEverythingElseAsItIs) {
  for (const char* message :
       {"", "job.fit.something_new: got 0", "job.fit.restarts", "job.fit.columns[a",
        "models/m: not found", "job.fit.restarts_more: got 1",
        "f.csv:3: column \"b\": is missing"}) {
    EXPECT_EQ(InOptions(message), message);
    EXPECT_EQ(FieldOf(message), "") << message;
  }
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
