// emctl against the real server over a real socket.
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "client/csv.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/emctl_run.h"

namespace emserve {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kFaithful[] = EMSERVE_TEST_DATA "/faithful.csv";
constexpr char kIris[] = EMSERVE_TEST_DATA "/iris.csv";
// mclust, VVV with 2 components (mclust_reference.csv).
constexpr double kFaithfulLogLikelihood = -1130.2639;

class EmctlTest : public EmctlRun {
 protected:
  static std::vector<std::string> Fit(std::vector<std::string> more = {}) {
    std::vector<std::string> all = {"fit", "gaussian-mixture", "--data", kFaithful, "-k",
                                    "2",   "--seed",           "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  // A fit that iterates until it is told to stop.
  static std::vector<std::string> Endless(std::vector<std::string> more = {}) {
    std::vector<std::string> all = {"fit",
                                    "gaussian-mixture",
                                    "--data",
                                    kIris,
                                    "-k",
                                    "3",
                                    "--tolerance",
                                    "0",
                                    "--restarts",
                                    "1",
                                    "--max-iterations",
                                    "1000000000000"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  std::string StateOf(const std::string& job) const {
    return RunJson({"jobs", "get", job}).value("state", "");
  }
};

TEST_F(EmctlTest, FitsFaithfulToThePublishedOptimum) {
  const Json fit = RunJson(Fit({"--restarts", "10", "--covariance", "full", "--model", "geyser"}));
  EXPECT_NEAR(fit["log_likelihood"], kFaithfulLogLikelihood, 1e-3);
  EXPECT_EQ(fit["termination"], "converged");
  EXPECT_EQ(fit["degrees_of_freedom"], 11);
  EXPECT_NEAR(fit["bic"], -2 * kFaithfulLogLikelihood + 11 * std::log(272), 1e-2);
  EXPECT_NEAR(fit["aic"], -2 * kFaithfulLogLikelihood + 22, 1e-2);
  EXPECT_GE(fit["icl"], fit["bic"]);
  EXPECT_EQ(fit["seed"], 1);
  EXPECT_EQ(fit["model"], "models/geyser/versions/1");
  EXPECT_THAT(std::string(fit["job"]), StartsWith("jobs/"));
  EXPECT_GT(fit["iterations"], 0);
  EXPECT_FALSE(std::string(fit["message"]).empty());
  EXPECT_EQ(fit["columns"], Json({"eruptions", "waiting"}));
  const Json& parameters = fit["parameters"];
  EXPECT_NEAR(double(parameters["weights"][0]) + double(parameters["weights"][1]), 1, 1e-12);
  EXPECT_EQ(parameters["means"].size(), 2u);
  EXPECT_EQ(parameters["covariances"][1][0].size(), 2u);
  int restarts = 0;
  for (const Json& optimum : fit["optima"]) restarts += int(optimum["count"]);
  EXPECT_EQ(restarts, 10);
}

TEST_F(EmctlTest, TakesEveryCovarianceByBothNames) {
  const std::pair<const char*, const char*> names[] = {
      {"full", "VVV"},      {"tied", "EEE"},
      {"diagonal", "VVI"},  {"tied-diagonal", "EEI"},
      {"spherical", "VII"}, {"tied-spherical", "EII"},
      {"vev", "VEV"}};
  for (const auto& [ours, mclust] : names) {
    const Json a = RunJson(Fit({"--covariance", ours}));
    const Json b = RunJson(Fit({"--covariance", mclust}));
    EXPECT_EQ(a["log_likelihood"], b["log_likelihood"]) << ours;
    EXPECT_EQ(a["parameters"], b["parameters"]) << ours;
    EXPECT_EQ(Run(Fit({"--covariance", ours})).exit_status, 0) << ours;
  }
}

TEST_F(EmctlTest, PrintsASummaryOnTheOutputAndIterationsOnTheError) {
  const Outcome fit = Run(Fit({"--model", "geyser"}));
  EXPECT_EQ(fit.exit_status, 0);
  EXPECT_THAT(fit.output, HasSubstr("models/geyser/versions/1"));
  EXPECT_THAT(fit.output, HasSubstr("log-likelihood   -1130.26"));
  EXPECT_THAT(fit.output, HasSubstr("eruptions  waiting"));
  EXPECT_THAT(fit.error, HasSubstr("restart 0  iteration    0  objective -"));
  EXPECT_THAT(fit.error, HasSubstr("change"));
  EXPECT_THAT(fit.error, HasSubstr("rate"));
  EXPECT_THAT(fit.error, Not(HasSubstr("\x1b")));
  EXPECT_THAT(Run(Fit({"--quiet"})).error, IsEmpty());
}

TEST_F(EmctlTest, LeavesNoDataBehindUnlessAsked) {
  RunJson(Fit());
  EXPECT_TRUE(RunJson({"datasets", "list"})["datasets"].empty());
  RunJson(Fit({"--keep", "faithful"}));
  const Json datasets = RunJson({"datasets", "list"})["datasets"];
  ASSERT_EQ(datasets.size(), 1u);
  EXPECT_EQ(datasets[0]["name"], "datasets/faithful");
  EXPECT_EQ(datasets[0]["state"], "active");
  const Json again = RunJson({"fit", "gaussian-mixture", "--dataset", "faithful", "-k", "2"});
  EXPECT_NEAR(again["log_likelihood"], kFaithfulLogLikelihood, 1e-3);
}

TEST_F(EmctlTest, WeighsRowsByAColumn) {
  std::string csv = "eruptions,waiting,w\n";
  const client::Table faithful = ParseTable(ReadAll(kFaithful));
  for (size_t i = 0; i < faithful.values.size(); i += 2) {
    const double row[] = {faithful.values[i], faithful.values[i + 1], 2};
    client::AppendCsvRecord(row, csv);
  }
  const Json fit = RunJson({"fit", "gaussian-mixture", "--data", dir_.Write("w.csv", csv),
                            "--weights-column", "w", "-k", "2"});
  EXPECT_NEAR(fit["log_likelihood"], 2 * kFaithfulLogLikelihood, 2e-3);
  EXPECT_EQ(fit["num_observations"], 544);
  EXPECT_EQ(fit["columns"], Json({"eruptions", "waiting"}));
}

TEST_F(EmctlTest, LeavesOutTheSpeciesOfIrisWithANote) {
  const Outcome fit = Run({"fit", "gaussian-mixture", "--data", kIris, "-k", "2", "--json"});
  EXPECT_EQ(fit.exit_status, 0) << fit.error;
  EXPECT_THAT(fit.error, HasSubstr("left out Species"));
  EXPECT_NEAR(Json::parse(fit.output)["log_likelihood"], -214.355, 1e-2);
}

TEST_F(EmctlTest, StartsAtAStoredModel) {
  RunJson(Fit({"--model", "geyser"}));
  const Json again = RunJson(Fit({"--start-from", "geyser", "--model", "geyser"}));
  EXPECT_EQ(again["model"], "models/geyser/versions/2");
  EXPECT_LE(again["iterations"], 3);
  EXPECT_NEAR(again["log_likelihood"], kFaithfulLogLikelihood, 1e-3);
}

TEST_F(EmctlTest, ReportsBadSpecificationsWithTheFieldAndStatusTwo) {
  const Outcome zero = Run(Fit({"--restarts", "0", "-q"}));
  EXPECT_EQ(zero.exit_status, 2);
  EXPECT_THAT(zero.output, IsEmpty());
  EXPECT_THAT(zero.error, StartsWith("emctl: --restarts: got 0, must be"));
  EXPECT_THAT(Run(Fit({"-q", "--ridge", "2"})).error, StartsWith("emctl: --ridge: got 2"));
  EXPECT_THAT(Run(Fit({"-q", "--model", "A B"})).error, StartsWith("emctl: --model: got \"A B\""));
  EXPECT_THAT(Run(Fit({"-q", "--keep", "A B"})).error, StartsWith("emctl: --id/--keep: got"));
  const Outcome many =
      Run({"fit", "gaussian-mixture", "--data", dir_.Write("few.csv", "a\n1\n2\n"), "-k", "5"});
  EXPECT_EQ(many.exit_status, 2) << many.error;
  EXPECT_THAT(many.error, HasSubstr("emctl: -k/--components: got 5"));
  const Json refused = FailedJson(Fit({"--restarts", "0"}), 2);
  EXPECT_EQ(refused["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(refused["field"], "job.fit.restarts");
  EXPECT_EQ(FailedJson({"models", "get", "nothing"}, 2)["code"], "NOT_FOUND");
  const Outcome missing = Run({"fit", "gaussian-mixture", "--dataset", "nothing", "-k", "2"});
  EXPECT_EQ(missing.exit_status, 2);
  EXPECT_THAT(missing.error, HasSubstr("datasets/nothing"));
  EXPECT_EQ(Run({"predict", "nothing", "--data", kFaithful}).exit_status, 2);
  EXPECT_EQ(Run({"jobs", "get", "nothing"}).exit_status, 2);
}

TEST_F(EmctlTest, ReportsAFailedJobWithStatusOne) {
  const Outcome slow = Run(Endless({"--timeout", "0.3"}));
  EXPECT_EQ(slow.exit_status, 1);
  EXPECT_THAT(slow.output, IsEmpty());
  EXPECT_THAT(slow.error, HasSubstr("emctl: jobs/"));
  EXPECT_THAT(slow.error, HasSubstr("failed: "));
  const Json error = FailedJson(Endless({"--timeout", "0.3"}), 1);
  EXPECT_EQ(error["code"], "DEADLINE_EXCEEDED");
  EXPECT_THAT(error.value("message", ""), HasSubstr("failed: "));
}

TEST_F(EmctlTest, TakesTheBestWithinATimeBudget) {
  const Json fit = RunJson(Endless({"--time-budget", "0.3"}));
  EXPECT_EQ(fit["termination"], "time_budget");
}

TEST_F(EmctlTest, CancelsTheFitOnInterrupt) {
  const auto fit = StartEmctl(server_.port(), Endless({"--json"}));
  ASSERT_TRUE(fit->AwaitError("objective")) << fit->error();
  fit->Signal(SIGINT);
  EXPECT_EQ(fit->Wait(), 1);
  EXPECT_EQ(Json::parse(fit->output(), nullptr, false)["error"]["code"], "CANCELLED");
  EXPECT_THAT(fit->error(), HasSubstr("was cancelled"));
  const Json jobs = RunJson({"jobs", "list", "--state", "cancelled"})["jobs"];
  ASSERT_EQ(jobs.size(), 1u);
  const Outcome get = Run({"jobs", "get", jobs[0].value("name", "")});
  EXPECT_THAT(get.output, HasSubstr("cancelled"));
  EXPECT_THAT(get.output, Not(HasSubstr("result")));
}

TEST_F(EmctlTest, DetachesWatchesAndCancels) {
  const Json detached = RunJson(Endless({"--detach"}));
  const std::string job = detached["job"];
  const auto watch = StartEmctl(server_.port(), {"jobs", "watch", job});
  ASSERT_TRUE(watch->AwaitError("objective")) << watch->error();
  watch->Signal(SIGINT);
  EXPECT_EQ(watch->Wait(), 1);
  EXPECT_THAT(watch->error(), HasSubstr("which goes on"));
  EXPECT_EQ(StateOf(job), "running");
  EXPECT_EQ(Run({"jobs", "delete", job}).exit_status, 1);  // it has not ended
  EXPECT_EQ(Run({"jobs", "cancel", job}).exit_status, 0);
  EXPECT_EQ(Run({"jobs", "watch", job}).exit_status, 1);
  EXPECT_EQ(StateOf(job), "cancelled");
  EXPECT_EQ(Run({"jobs", "cancel", job}).exit_status, 1);
  EXPECT_EQ(Run({"jobs", "delete", job}).exit_status, 0);
  EXPECT_EQ(Run({"jobs", "get", job}).exit_status, 2);
}

TEST_F(EmctlTest, WatchOfAnEndedJobPrintsWhatTheFitPrinted) {
  const Json fit = RunJson(Fit());
  EXPECT_EQ(RunJson({"jobs", "watch", fit["job"]}), fit);
}

TEST_F(EmctlTest, WatchOfAJobWhoseModelIsGonePrintsItsReport) {
  const Json fit = RunJson(Fit({"--model", "geyser"}));
  EXPECT_EQ(Run({"models", "delete", "geyser"}).exit_status, 0);
  const Outcome watch = Run({"jobs", "watch", fit["job"]});
  EXPECT_EQ(watch.exit_status, 0);
  EXPECT_THAT(watch.output, HasSubstr("log-likelihood   -1130.26"));
  EXPECT_THAT(watch.output, HasSubstr("full covariance"));
  EXPECT_THAT(watch.output, Not(HasSubstr("means")));
  EXPECT_THAT(watch.error, HasSubstr("models/geyser/versions/1 was deleted"));
  Json kept = fit;
  for (const char* key : {"family", "num_rows", "columns", "parameters"}) kept[key] = nullptr;
  EXPECT_EQ(RunJson({"jobs", "watch", fit["job"]}), kept);
}

TEST_F(EmctlTest, TakesMissingCellsAndImputesThem) {
  const std::string path = dir_.Write("missing.csv", ReadAll(kFaithful) + "2,NA\n?,80\n");
  const Json fit = RunJson({"fit", "gaussian-mixture", "--data", path, "-k", "2", "--model", "m"});
  EXPECT_EQ(fit["num_rows"], 274);
  EXPECT_THAT(Run({"models", "get", "m"}).output, HasSubstr("% of waiting"));
  const Outcome predicted =
      Run({"predict", "m", "--data", path, "--outputs", "imputed,imputed-variances"});
  EXPECT_EQ(predicted.exit_status, 0) << predicted.error;
  const client::Table table = ParseTable(predicted.output);
  EXPECT_EQ(table.columns,
            (std::vector<std::string>{"imputed_eruptions", "imputed_waiting",
                                      "imputed_variance_eruptions", "imputed_variance_waiting"}));
  ASSERT_EQ(table.num_rows, 274);
  const double* first = &table.values[0];
  EXPECT_EQ(first[2] + first[3], 0);
  const double* last = &table.values[4 * 272];
  EXPECT_EQ(last[0], 2);
  EXPECT_NEAR(last[1], 54, 3);  // a short eruption
  EXPECT_GT(last[3], 1);
  EXPECT_EQ(RunJson({"datasets", "upload", path})["columns"][1]["summary"]["num_missing"], 1);
  const Outcome infinite =
      Run({"fit", "gaussian-mixture", "--data", dir_.Write("i.csv", "a\n1\ninf\n")});
  EXPECT_EQ(infinite.exit_status, 2);
  EXPECT_THAT(infinite.error, HasSubstr("i.csv:3: column \"a\": got Inf, must be finite"));
}

TEST_F(EmctlTest, PredictsAFile) {
  const Json fit = RunJson(Fit({"--model", "geyser"}));
  const std::string path = dir_.path("p.csv");
  const Json predicted = RunJson({"predict", "geyser", "--data", kFaithful, "--output", path,
                                  "--outputs", "labels,posteriors,log-densities"});
  EXPECT_EQ(predicted["num_rows"], 272);
  EXPECT_EQ(predicted["model_version"], "models/geyser/versions/1");
  const client::Table table = ParseTable(ReadAll(path));
  EXPECT_EQ(table.columns,
            (std::vector<std::string>{"label", "posterior_0", "posterior_1", "log_density"}));
  ASSERT_EQ(table.num_rows, 272);
  double log_likelihood = 0;
  for (size_t i = 0; i < 272; ++i) {
    const double* row = &table.values[4 * i];
    EXPECT_EQ(row[0], row[2] > row[1] ? 1 : 0);
    EXPECT_NEAR(row[1] + row[2], 1, 1e-12);
    log_likelihood += row[3];
  }
  EXPECT_NEAR(log_likelihood, fit["log_likelihood"], 1e-8);
  EXPECT_EQ(dir_.NumFiles(), 1u);
  // Without a file the rows are on the standard output, or in the document.
  EXPECT_THAT(Run({"predict", "geyser", "--data", kFaithful}).output, StartsWith("label\n"));
  EXPECT_EQ(RunJson({"predict", "geyser", "--data", kFaithful})["outputs"]["labels"].size(), 272u);
}

TEST_F(EmctlTest, MatchesTheColumnsOfAFileByName) {
  RunJson(Fit({"--model", "geyser"}));
  const client::Table faithful = ParseTable(ReadAll(kFaithful));
  std::string swapped = "note,waiting,eruptions\n";
  for (size_t i = 0; i < faithful.values.size(); i += 2) {
    std::string row;
    const double cells[] = {faithful.values[i + 1], faithful.values[i]};
    client::AppendCsvRecord(cells, row);
    swapped += "text," + row;
  }
  const std::vector<std::string> outputs = {"--outputs", "log-densities"};
  const Outcome straight =
      Run({"predict", "geyser", "--data", kFaithful, "--outputs", "log-densities"});
  const Outcome other = Run(
      {"predict", "geyser", "--data", dir_.Write("s.csv", swapped), "--outputs", "log-densities"});
  EXPECT_EQ(other.exit_status, 0) << other.error;
  EXPECT_EQ(other.output, straight.output);
  const Outcome missing =
      Run({"predict", "geyser", "--data", dir_.Write("m.csv", "eruptions\n1\n")});
  EXPECT_EQ(missing.exit_status, 2);
  EXPECT_THAT(missing.error, HasSubstr("has no column \"waiting\"; it has eruptions"));
}

TEST_F(EmctlTest, MatchesTheColumnsOfAFileByPositionOnRequest) {
  RunJson(Fit({"--model", "geyser"}));
  std::string renamed = ReadAll(kFaithful);
  renamed = "x;y" + renamed.substr(renamed.find('\n'));
  std::replace(renamed.begin(), renamed.end(), ',', ';');
  std::vector<std::string> predict = {
      "predict", "geyser", "--data", dir_.Write("x.csv", renamed), "--separator", ";"};
  const Outcome by_name = Run(predict);
  EXPECT_EQ(by_name.exit_status, 2);
  EXPECT_THAT(by_name.error, HasSubstr("it has x, y; --by-position takes them"));
  predict.push_back("--by-position");
  const Outcome by_position = Run(predict);
  EXPECT_EQ(by_position.exit_status, 0) << by_position.error;
  EXPECT_EQ(by_position.output, Run({"predict", "geyser", "--data", kFaithful}).output);
}

TEST_F(EmctlTest, PredictsNumpyFilesByPosition) {
  RunJson(Fit({"--model", "geyser"}));
  const client::Table faithful = ParseTable(ReadAll(kFaithful));
  std::string npy("\x93NUMPY\x01\0", 8);
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (272, 2), }\n";
  npy += static_cast<char>(header.size());
  npy += '\0';
  npy += header;
  npy.append(reinterpret_cast<const char*>(faithful.values.data()), faithful.values.size() * 8);
  const Outcome predicted = Run({"predict", "geyser", "--data", dir_.Write("f.npy", npy)});
  EXPECT_EQ(predicted.exit_status, 0) << predicted.error;
  EXPECT_EQ(predicted.output, Run({"predict", "geyser", "--data", kFaithful}).output);
}

TEST_F(EmctlTest, PredictsADatasetAsAJob) {
  RunJson(Fit({"--model", "geyser", "--keep", "faithful"}));
  const Json job = RunJson({"predict", "geyser", "--dataset", "faithful", "--outputs",
                            "labels,posteriors", "--output-dataset", "predicted"});
  EXPECT_EQ(job["dataset"], "datasets/predicted");
  const Outcome downloaded = Run({"datasets", "download", "predicted"});
  EXPECT_EQ(downloaded.exit_status, 0) << downloaded.error;
  EXPECT_EQ(
      downloaded.output,
      Run({"predict", "geyser", "--data", kFaithful, "--outputs", "labels,posteriors"}).output);
}

TEST_F(EmctlTest, DrawsSamplesThatTheSeedDecides) {
  RunJson(Fit({"--model", "geyser"}));
  const Outcome sample = Run({"sample", "geyser", "-n", "100", "--seed", "1"});
  EXPECT_EQ(sample.exit_status, 0) << sample.error;
  const client::Table table = ParseTable(sample.output);
  EXPECT_EQ(table.columns, (std::vector<std::string>{"eruptions", "waiting"}));
  EXPECT_EQ(table.num_rows, 100);
  EXPECT_EQ(Run({"sample", "geyser", "-n", "100", "--seed", "1"}).output, sample.output);
  EXPECT_NE(Run({"sample", "geyser", "-n", "100", "--seed", "2"}).output, sample.output);
  EXPECT_THAT(Run({"sample", "geyser", "--labels"}).output,
              StartsWith("eruptions,waiting,label\n"));
  EXPECT_EQ(RunJson({"sample", "geyser", "-n", "5"})["rows"].size(), 5u);
}

TEST_F(EmctlTest, DrawsMoreRowsThanFitOneMessage) {
  // 24 bytes a row, so that the server's message of 1 MiB holds some 40,000.
  const ServerProcess small({"--max_message_bytes", "1MiB", "--max_inline_bytes", "512KiB"});
  ASSERT_NE(small.port(), 0);
  const std::string model = dir_.path("geyser.emserve");
  RunJson(Fit({"--model", "geyser"}));
  EXPECT_EQ(Run({"model", "export", "geyser", model}).exit_status, 0);
  EXPECT_EQ(RunEmctl(small.port(), {"model", "import", model, "--model", "geyser"}).exit_status, 0);
  const std::string path = dir_.path("many.csv");
  const std::vector<std::string> sample = {"sample", "geyser",   "-n",       "100000", "--seed",
                                           "1",      "--labels", "--output", path};
  const Outcome drawn = RunEmctl(small.port(), sample);
  EXPECT_EQ(drawn.exit_status, 0) << drawn.error;
  const std::string many = ReadAll(path);
  const client::Table table = ParseTable(many);
  ASSERT_EQ(table.num_rows, 100'000);
  EXPECT_EQ(table.columns, (std::vector<std::string>{"eruptions", "waiting", "label"}));
  // The same rows from a server with other limits.
  EXPECT_EQ(Run(sample).exit_status, 0);
  EXPECT_EQ(ReadAll(path), many);
  // The first ones are those of a single answer, and no part is drawn twice, under no seed near by.
  const std::string few = Run({"sample", "geyser", "-n", "10", "--seed", "1", "--labels"}).output;
  EXPECT_THAT(many, StartsWith(few));
  std::set<double> eruptions;
  for (size_t i = 0; i < 100'000; ++i) eruptions.insert(table.values[3 * i]);
  EXPECT_EQ(eruptions.size(), 100'000u);
  const client::Table next =
      ParseTable(Run({"sample", "geyser", "-n", "100000", "--seed", "2"}).output);
  for (size_t i = 0; i < 100'000; ++i) EXPECT_EQ(eruptions.count(next.values[2 * i]), 0u);
  EXPECT_THAT(Run({"sample", "geyser", "-n", "0"}).error,
              HasSubstr("-n/--rows: got 0, must be at least 1"));
}

TEST_F(EmctlTest, ExportsAndImportsModels) {
  const Json fit = RunJson(Fit({"--model", "geyser"}));
  const std::string path = dir_.path("geyser.emserve");
  EXPECT_EQ(Run({"model", "export", "geyser", path}).exit_status, 0);
  const Outcome imported = Run({"model", "import", path, "--model", "copy"});
  EXPECT_EQ(imported.exit_status, 0) << imported.error;
  EXPECT_EQ(imported.output, "models/copy/versions/1\n");
  EXPECT_EQ(RunJson({"models", "get", "copy"})["parameters"], fit["parameters"]);
  EXPECT_EQ(Run({"predict", "copy", "--data", kFaithful, "--outputs", "posteriors"}).output,
            Run({"predict", "geyser", "--data", kFaithful, "--outputs", "posteriors"}).output);
  const std::string whole = ReadAll(path);
  const std::string half = dir_.Write("half", whole.substr(0, whole.size() / 2));
  EXPECT_EQ(Run({"model", "import", half, "--model", "half"}).exit_status, 2);
  EXPECT_EQ(Run({"models", "get", "half"}).exit_status, 2);
}

TEST_F(EmctlTest, ManagesModelsAndTheirNames) {
  RunJson(Fit({"--model", "geyser"}));
  RunJson(Fit({"--model", "geyser", "--covariance", "tied"}));
  EXPECT_EQ(RunJson({"models", "alias", "geyser/versions/1", "prod"})["aliases"]["prod"], 1);
  EXPECT_EQ(RunJson({"models", "get", "geyser@prod"})["name"], "models/geyser/versions/1");
  EXPECT_EQ(RunJson({"models", "tag", "geyser", "owner=ada", "use=demo"})["tags"],
            Json({{"owner", "ada"}, {"use", "demo"}}));
  EXPECT_EQ(RunJson({"models", "tag", "geyser", "--remove", "use"})["tags"],
            Json({{"owner", "ada"}}));
  EXPECT_EQ(RunJson({"models", "versions", "geyser"})["versions"].size(), 2u);
  EXPECT_THAT(Run({"models", "list"}).output, HasSubstr("prod=1"));
  EXPECT_THAT(Run({"models", "get", "geyser"}).output, HasSubstr("tied covariance"));
  EXPECT_THAT(Run({"models", "history", "geyser"}).output, HasSubstr("ALIAS_SET"));
  EXPECT_EQ(Run({"models", "delete", "geyser/versions/1"}).exit_status, 1);  // prod points there
  const Outcome aliased = Run({"models", "delete", "geyser"});
  EXPECT_EQ(aliased.exit_status, 1);
  EXPECT_THAT(aliased.error, HasSubstr("use --force"));
  EXPECT_EQ(Run({"models", "alias", "geyser", "prod", "--delete"}).exit_status, 0);
  EXPECT_EQ(Run({"models", "delete", "geyser/versions/1"}).exit_status, 0);
  EXPECT_EQ(Run({"models", "delete", "geyser"}).exit_status, 0);
  EXPECT_TRUE(RunJson({"models", "list"})["models"].empty());
}

TEST_F(EmctlTest, ManagesDatasets) {
  const Json uploaded = RunJson({"datasets", "upload", kFaithful, "--id", "old", "--columns",
                                 "waiting", "--description", "Old Faithful"});
  EXPECT_EQ(uploaded["name"], "datasets/old");
  EXPECT_EQ(uploaded["state"], "active");
  EXPECT_EQ(uploaded["num_rows"], 272);
  EXPECT_EQ(Run({"datasets", "upload", kFaithful, "--id", "old"}).exit_status, 2);  // taken
  EXPECT_THAT(Run({"datasets", "get", "old"}).output, HasSubstr("waiting"));
  EXPECT_THAT(Run({"datasets", "get", "old"}).output, Not(HasSubstr(" there")));
  EXPECT_THAT(Run({"datasets", "list"}).output, HasSubstr("Old Faithful"));
  const client::Table back = ParseTable(Run({"datasets", "download", "old"}).output);
  const client::Table faithful = ParseTable(ReadAll(kFaithful));
  ASSERT_EQ(back.num_rows, 272);
  for (size_t i = 0; i < 272; ++i) EXPECT_EQ(back.values[i], faithful.values[2 * i + 1]);
  EXPECT_EQ(Run({"datasets", "delete", "old"}).exit_status, 0);
  EXPECT_EQ(Run({"datasets", "get", "old"}).exit_status, 2);
}

TEST_F(EmctlTest, ShowsTheServer) {
  const Json info = RunJson({"info"});
  EXPECT_FALSE(std::string(info["version"]).empty());
  EXPECT_EQ(info["families"][0]["name"], "gaussian_mixture");
  EXPECT_FALSE(info["limits"].empty());
  EXPECT_THAT(Run({"info"}).output, HasSubstr("gaussian_mixture"));
}

}  // namespace
}  // namespace emserve
