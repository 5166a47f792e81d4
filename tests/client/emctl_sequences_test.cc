// Hidden Markov models from the command line, against the real server.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/emctl_run.h"
#include "tests/client/temp_dir.h"

namespace emserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Words = std::vector<std::string>;

constexpr char kEarthquakes[] = EMSERVE_TEST_DATA "/earthquakes.csv";
constexpr char kFaithful[] = EMSERVE_TEST_DATA "/faithful.csv";
constexpr char kGss82[] = EMSERVE_TEST_DATA "/gss82.csv";
constexpr char kIris[] = EMSERVE_TEST_DATA "/iris.csv";

class EmctlSequences : public EmctlRun {
 protected:
  static Words Quakes(const Words& more = {}) {
    return With({"fit", "poisson-hmm", "--data", kEarthquakes, "--columns", "count", "--states",
                 "2", "--seed", "1"},
                more);
  }

  // The earthquakes with a column that names two sequences, of 50 and 57 years.
  std::string InTwo() const {
    const client::Table quakes = ParseTable(ReadAll(kEarthquakes));
    std::string csv = "century,count\n";
    for (size_t i = 0; i < static_cast<size_t>(quakes.num_rows); ++i) {
      absl::StrAppend(&csv, i < 50 ? "younger" : "older", ",", quakes.values[2 * i + 1], "\n");
    }
    return dir_.Write("two.csv", csv);
  }

  std::string Refused(const Words& words) const {
    const Outcome outcome = Run(With(words, {"-q"}));
    EXPECT_EQ(outcome.exit_status, 2) << outcome.error;
    return outcome.error;
  }
};

// The maximum of Zucchini, MacDonald & Langrock (2016), section 4.2.
TEST_F(EmctlSequences, ReachThePublishedMaximumOfTheEarthquakes) {
  const Json fit = RunJson(Quakes({"--model", "quakes"}));
  EXPECT_NEAR(fit["log_likelihood"], -341.87870, 1e-4);
  EXPECT_EQ(fit["family"], "poisson_hmm");
  EXPECT_EQ(fit["degrees_of_freedom"], 5);
  ASSERT_EQ(fit["parameters"]["transitions"].size(), 2u);
  double share = 0;
  for (size_t k = 0; k < 2; ++k) {
    const double stays = fit["parameters"]["transitions"][k][k];
    EXPECT_NEAR(fit["expected_durations"][k], 1 / (1 - stays), 1e-6);
    share += double(fit["stationary"][k]);
  }
  EXPECT_NEAR(share, 1, 1e-12);
  const Outcome shown = Run({"models", "get", "quakes"});
  EXPECT_THAT(shown.output, HasSubstr("Poisson hidden Markov model\n"));
  EXPECT_THAT(shown.output, HasSubstr("expected duration  stationary"));
  EXPECT_THAT(shown.output, HasSubstr("transitions  "));
  // -k and --components are the states too.
  EXPECT_EQ(RunJson({"fit", "poisson-hmm", "--data", kEarthquakes, "--columns", "count",
                     "--components", "2", "--seed", "1"})["parameters"],
            fit["parameters"]);
}

TEST_F(EmctlSequences, AreTheSameByColumnAndByLengths) {
  const std::string two = InTwo();
  const Words base = {"fit", "poisson-hmm", "--data", two, "-k", "2"};
  const Json by_column =
      RunJson(With(base, {"--sequence-column", "century", "--model", "by-column"}));
  EXPECT_EQ(by_column["columns"], Json::array({"count"}));
  const Json by_lengths =
      RunJson(With(base, {"--columns", "count", "--sequence-lengths", "50,57"}));
  EXPECT_EQ(by_lengths["parameters"], by_column["parameters"]);
  EXPECT_EQ(by_lengths["log_likelihood"], by_column["log_likelihood"]);
  const Json twice = RunJson(With(
      base, {"--columns", "count", "--sequence-lengths", "50,57", "--sequence-weights", "2,2"}));
  EXPECT_NEAR(twice["log_likelihood"], 2 * double(by_column["log_likelihood"]), 1e-4);
  EXPECT_THAT(Run({"models", "get", "by-column"}).output, HasSubstr(", sequences by century"));
}

TEST_F(EmctlSequences, ArePredictedWholeFromAFileAndADataset) {
  const std::string two = InTwo();
  RunJson(Quakes({"--model", "quakes"}));
  const std::string outputs =
      "labels,posteriors,log-densities,filtered,decoded,sequence-log-likelihoods,"
      "path-log-probabilities";
  const Words base = {"predict", "quakes", "--outputs", outputs};
  const Outcome file = Run(With(base, {"--data", two, "--sequence-column", "century"}));
  EXPECT_EQ(file.exit_status, 0) << file.error;
  const client::Table rows = ParseTable(file.output);
  EXPECT_THAT(rows.columns, ElementsAre("label", "posterior_0", "posterior_1", "log_density",
                                        "filtered_0", "filtered_1", "decoded",
                                        "sequence_log_likelihood", "path_log_probability"));
  ASSERT_EQ(rows.num_rows, 107);
  const auto cell = [&rows](size_t row, size_t column) {
    return rows.values[row * rows.columns.size() + column];
  };
  double log_likelihood = 0;
  for (size_t i = 0; i < 107; ++i) {
    EXPECT_NEAR(cell(i, 4) + cell(i, 5), 1, 1e-12);
    EXPECT_EQ(cell(i, 6), cell(i, 2) > cell(i, 1) ? 1 : 0);
    log_likelihood += cell(i, 3);
    if (i != 49 && i != 106) continue;
    // The last row knows all rows of its sequence, of which the best path is one.
    EXPECT_NEAR(cell(i, 1), cell(i, 4), 1e-12);
    EXPECT_NEAR(cell(i, 7), log_likelihood, 1e-9);
    EXPECT_LT(cell(i, 8), cell(i, 7));
    EXPECT_EQ(cell(i, 7), cell(i - 1, 7));
    log_likelihood = 0;
  }
  EXPECT_NE(cell(49, 7), cell(50, 7));
  EXPECT_EQ(Run(With(base, {"--data", kEarthquakes, "--sequence-lengths", "50,57"})).output,
            file.output);

  const Json document = RunJson(With(base, {"--data", two, "--sequence-column", "century"}));
  EXPECT_EQ(document["outputs"]["sequence_log_likelihoods"].size(), 2u);
  EXPECT_EQ(document["outputs"]["labels"].size(), 107u);
  EXPECT_TRUE(document["outputs"]["decoded"][0].is_number_integer());

  RunJson({"datasets", "upload", two, "--id", "two", "--categories", "century"});
  const Outcome job = Run(With(
      base, {"--dataset", "two", "--sequence-column", "century", "--output-dataset", "predicted"}));
  EXPECT_EQ(job.exit_status, 0) << job.error;
  const client::Table stored = ParseTable(Run({"datasets", "download", "predicted"}).output);
  ASSERT_EQ(stored.columns, rows.columns);
  ASSERT_EQ(stored.values.size(), rows.values.size());
  for (size_t i = 0; i < rows.values.size(); ++i) {
    EXPECT_NEAR(stored.values[i], rows.values[i], 1e-9) << i;
  }
  // Without a word all rows are one sequence.
  const Json one = RunJson(
      {"predict", "quakes", "--data", kEarthquakes, "--outputs", "sequence-log-likelihoods"});
  ASSERT_EQ(one["outputs"]["sequence_log_likelihoods"].size(), 1u);
  EXPECT_NEAR(one["outputs"]["sequence_log_likelihoods"][0], -341.87870, 1e-4);
}

TEST_F(EmctlSequences, AreForecastCheckedAndDecodedInManyWays) {
  const std::string two = InTwo();
  const Json fit = RunJson(Quakes({"--model", "quakes"}));
  const Words base = {"predict",
                      "quakes",
                      "--outputs",
                      "labels,forecasts,residuals,forecast-residuals,best-paths,"
                      "sequence-log-likelihoods,path-log-probabilities",
                      "--forecast-horizon",
                      "3",
                      "--num-paths",
                      "2"};
  const Outcome file = Run(With(base, {"--data", two, "--sequence-column", "century"}));
  EXPECT_EQ(file.exit_status, 0) << file.error;
  const client::Table rows = ParseTable(file.output);
  EXPECT_THAT(
      rows.columns,
      ElementsAre("label", "forecast_0", "forecast_1", "forecast_mean_count",
                  "forecast_variance_count", "residual_count", "forecast_residual_count",
                  "sequence_log_likelihood", "path_log_probability", "best_path_0", "best_path_1",
                  "best_path_log_probability_0", "best_path_log_probability_1"));
  ASSERT_EQ(rows.num_rows, 107);
  const auto cell = [&rows](size_t row, size_t column) {
    return rows.values[row * rows.columns.size() + column];
  };
  bool differ = false;
  for (size_t i = 0; i < 107; ++i) {
    EXPECT_NEAR(cell(i, 1) + cell(i, 2), 1, 1e-12);
    EXPECT_GT(cell(i, 4), cell(i, 3));  // more than a Poisson variance
    EXPECT_EQ(cell(i, 9), cell(i, 0));
    differ = differ || cell(i, 10) != cell(i, 0);
    EXPECT_NEAR(cell(i, 11), cell(i, 8), 1e-9);
    EXPECT_LE(cell(i, 12), cell(i, 11));
    if (i != 50) {
      EXPECT_LT(std::abs(cell(i, 6)), 4);
    }
  }
  // The second sequence begins with 39, where the model has sequences begin with 15.42 on average.
  EXPECT_NEAR(cell(50, 6), 5.036, 1e-3);
  EXPECT_TRUE(differ);
  EXPECT_NE(cell(49, 11), cell(50, 11));

  const Json document = RunJson(With(base, {"--data", two, "--sequence-column", "century"}));
  EXPECT_EQ(document["outputs"]["best_path_log_probabilities"].size(), 2u);
  EXPECT_EQ(document["outputs"]["best_path_log_probabilities"][0].size(), 2u);
  EXPECT_TRUE(document["outputs"]["best_paths"][0][1].is_number_integer());
  EXPECT_EQ(document["outputs"]["forecast_means"].size(), 107u);

  RunJson({"datasets", "upload", two, "--id", "two", "--categories", "century"});
  const Outcome job = Run(
      With(base, {"--dataset", "two", "--sequence-column", "century", "--output-dataset", "many"}));
  EXPECT_EQ(job.exit_status, 0) << job.error;
  const client::Table stored = ParseTable(Run({"datasets", "download", "many"}).output);
  ASSERT_EQ(stored.columns, rows.columns);
  ASSERT_EQ(stored.values.size(), rows.values.size());
  for (size_t i = 0; i < rows.values.size(); ++i) {
    EXPECT_NEAR(stored.values[i], rows.values[i], 1e-8) << i;
  }

  // Far ahead there is the stationary distribution; empty rows are forecasts too.
  const Json far = RunJson({"predict", "quakes", "--data", kEarthquakes, "--outputs", "forecasts",
                            "--forecast-horizon", "100000"});
  EXPECT_NEAR(far["outputs"]["forecasts"][106][0], double(fit["stationary"][0]), 1e-9);
  const client::Table quakes = ParseTable(ReadAll(kEarthquakes));
  std::string longer = "count,year\n";
  for (size_t i = 0; i < static_cast<size_t>(quakes.num_rows); ++i) {
    absl::StrAppend(&longer, quakes.values[2 * i + 1], ",", quakes.values[2 * i], "\n");
  }
  absl::StrAppend(&longer, ",2007\n,2008\n,2009\n");
  const Json fan = RunJson({"predict", "quakes", "--data", dir_.Write("longer.csv", longer),
                            "--outputs", "filtered,imputed"});
  const Json third = RunJson({"predict", "quakes", "--data", kEarthquakes, "--outputs", "forecasts",
                              "--forecast-horizon", "3"});
  EXPECT_NEAR(fan["outputs"]["filtered"][109][0], double(third["outputs"]["forecasts"][106][0]),
              1e-12);
  EXPECT_NEAR(fan["outputs"]["imputed"][109][0], double(third["outputs"]["forecast_means"][106][0]),
              1e-9);
}

// Rows that are refused are named as they stand in the file.
TEST_F(EmctlSequences, NameTheLinesOfRefusedRows) {
  RunJson(Quakes({"--model", "quakes"}));
  std::string csv = "count,\"of\nwhat\"\n";
  for (int i = 0; i < 40'000; ++i) csv += "3,1\n";
  const std::string early = dir_.Write("early.csv", csv + "-3,1\n");
  EXPECT_THAT(Refused({"predict", "quakes", "--data", early}),
              HasSubstr("early.csv:40003: got -3 in column 'count', must be a count"));
  // In a later message of a stream too.
  std::string geyser = "x,y\n";
  RunJson({"fit", "gamma-mixture", "--data", kFaithful, "--model", "positive"});
  for (int i = 0; i < 40'000; ++i) geyser += "3,60\n";
  const Words predict = {"predict", "positive", "--by-position", "--data"};
  EXPECT_THAT(Refused(With(predict, {dir_.Write("late.csv", geyser + "3,60\n3,-60\n")})),
              HasSubstr("late.csv:40003: got -60 in column 'waiting'"));

  const std::string named = dir_.Write(
      "named.csv", "count,who\n10,deep\n3,rem\n7,wake\n12,deep\n9,deep\n3,rem\n5,wake\n");
  const Words fit = {"fit", "poisson-hmm", "--columns", "count", "--states", "2", "--data"};
  EXPECT_THAT(Refused(With(fit, {named, "--label", "who"})),
              HasSubstr("named.csv:4: --label: got \"wake\", must be a component, 0 to 1"));
  EXPECT_THAT(Refused(With(fit, {named, "--sequence-column", "who"})),
              HasSubstr("named.csv:5: --sequence-column: got \"deep\" again after other "));
  EXPECT_THAT(Refused(With(fit, {dir_.Write("w.csv", "count,w\n1,1\n2,-1\n"), "--weights", "w"})),
              HasSubstr("w.csv:3: --weights/--weights-column: got -1, must be 0 or more"));
  EXPECT_THAT(Refused({"fit", "multinomial-mixture", "--data",
                       dir_.Write("counts.csv", "a,b\n1,9\n2,8\n1.5,9\n")}),
              HasSubstr("counts.csv:4: got 1.5 in column 'a', must be a count"));
  const Json error = FailedJson(With(fit, {named, "--label", "who"}), 2);
  EXPECT_EQ(error["field"], "job.fit.label_column");
}

TEST_F(EmctlSequences, TellWhichStateEachNameOfTheLabelsIs) {
  const std::string named =
      dir_.Write("named.csv", "count,who\n10,wake\n3,\n7,rem\n12,deep\n9,deep\n3,rem\n5,wake\n");
  const Words fit = {"fit", "poisson-hmm", "--states", "3", "--label", "who", "--data", named};
  EXPECT_THAT(Run(fit).output, HasSubstr("\nlabels           0 deep, 1 rem, 2 wake\n"));
  EXPECT_EQ(RunJson(fit)["label_names"], Json::array({"deep", "rem", "wake"}));
  RunJson({"datasets", "upload", named, "--id", "named", "--categories", "who"});
  EXPECT_EQ(RunJson({"fit", "poisson-hmm", "--states", "3", "--label", "who", "--dataset",
                     "named"})["label_names"],
            Json::array({"deep", "rem", "wake"}));
  EXPECT_FALSE(RunJson(Quakes()).contains("label_names"));
}

// What no message holds is for the server, and the error says how.
TEST_F(EmctlSequences, SendLongSequencesToTheDatasets) {
  RunJson(Quakes({"--model", "quakes"}));
  std::string csv = "count\n";
  for (int i = 0; i < 1'100'000; ++i) csv += "3\n";
  const Words predict = {"predict", "quakes", "--data", dir_.Write("long.csv", csv), "--outputs"};
  const std::string way =
      "a sequence travels in one message; put the data on the server with emctl datasets upload "
      "and predict it there with emctl predict --dataset";
  const std::string answer = Refused(With(predict, {"posteriors,filtered"}));
  EXPECT_THAT(answer, StartsWith("emctl: --data: got 1100000 rows, must be at most "));
  EXPECT_THAT(answer, HasSubstr(way));
  EXPECT_THAT(answer, Not(HasSubstr("in parts")));
  for (int i = 0; i < 3'500'000; ++i) csv += "3\n";
  dir_.Write("long.csv", csv);
  EXPECT_THAT(Refused(With(predict, {"labels"})), HasSubstr(way));
}

TEST_F(EmctlSequences, RemarkOnRowsThatNobodyTellsApart) {
  const std::string two = InTwo();
  RunJson({"fit", "poisson-hmm", "--data", two, "-k", "2", "--sequence-column", "century",
           "--model", "two"});
  const Words predict = {"predict", "two", "--data", two};
  const std::string remark =
      "all rows are taken as one sequence; models/two/versions/1 was fitted to the sequences of "
      "column century: --sequence-column or --sequence-lengths tells them apart";
  EXPECT_THAT(Run(predict).error, HasSubstr(remark));
  EXPECT_THAT(Run(With(predict, {"--sequence-column", "century"})).error,
              Not(HasSubstr("one sequence")));
  EXPECT_THAT(Run(With(predict, {"--sequence-lengths", "107"})).error,
              Not(HasSubstr("one sequence")));
  RunJson({"datasets", "upload", two, "--id", "two", "--columns", "count"});
  EXPECT_THAT(Run({"predict", "two", "--dataset", "two"}).error, HasSubstr(remark));
  RunJson(Quakes({"--model", "quakes"}));
  EXPECT_THAT(Run({"predict", "quakes", "--data", two}).error, Not(HasSubstr("one sequence")));
}

// An empty line of a file of one column is a step that nobody saw, as NA is.
TEST_F(EmctlSequences, KeepTheStepsOfEmptyLines) {
  const client::Table quakes = ParseTable(ReadAll(kEarthquakes));
  std::string empty;
  std::string words;
  for (size_t i = 0; i < static_cast<size_t>(quakes.num_rows); ++i) {
    const bool is_missing = i == 0 || i % 10 == 5;
    absl::StrAppend(&empty, is_missing ? "" : absl::StrCat(quakes.values[2 * i + 1]), "\n");
    absl::StrAppend(&words, is_missing ? "NA" : absl::StrCat(quakes.values[2 * i + 1]), "\n");
  }
  empty += "\n\n";
  words += "NA\nNA\n";
  const auto fit = [&](const std::string& text, const char* name, const Words& more) {
    return RunJson(
        With({"fit", "poisson-hmm", "--data", dir_.Write(name, text), "--states", "2"}, more));
  };
  const Json expected = fit("count\n" + words, "na.csv", {"--model", "quakes"});
  EXPECT_EQ(expected["num_rows"], 109);
  const Json document = fit("count\n" + empty, "empty.csv", {});
  EXPECT_EQ(document["num_rows"], 109);
  EXPECT_EQ(document["parameters"], expected["parameters"]);
  EXPECT_EQ(fit(empty, "bare.csv", {"--no-header"})["parameters"], expected["parameters"]);

  const Words predict = {"predict", "quakes", "--outputs", "labels,filtered", "--data"};
  const Outcome rows = Run(With(predict, {dir_.path("empty.csv")}));
  EXPECT_THAT(rows.error, HasSubstr("took 2 empty lines at its end as rows with a missing cell"));
  EXPECT_EQ(ParseTable(rows.output).num_rows, 109);
  EXPECT_EQ(rows.output, Run(With(predict, {dir_.path("na.csv")})).output);
  EXPECT_EQ(rows.output, Run(With(predict, {dir_.path("bare.csv"), "--no-header"})).output);

  const Json dataset = RunJson({"datasets", "upload", dir_.path("empty.csv"), "--id", "steps"});
  EXPECT_EQ(dataset["num_rows"], 109);
  EXPECT_EQ(dataset["columns"][0]["summary"]["num_missing"], 14);
  const std::string states = dir_.Write("states.csv", "s\nup\n\nup\ndown\n\n");
  EXPECT_EQ(RunJson({"fit", "categorical-hmm", "--data", states})["num_rows"], 5);

  EXPECT_THAT(Refused({"predict", "quakes", "--data",
                       dir_.Write("gap.csv", "year,count\n1900,13\n\n1902,8\n")}),
              HasSubstr("gap.csv:3: got an empty line, must have 2 cells"));
}

TEST_F(EmctlSequences, AreDrawnOneByOne) {
  RunJson(Quakes({"--model", "quakes"}));
  const Words draw = {"sample", "quakes", "--sequence-lengths", "5,3", "--seed", "7"};
  const client::Table rows =
      ParseTable(Run(With(draw, {"--sequence-column", "s", "--labels"})).output);
  EXPECT_THAT(rows.columns, ElementsAre("s", "count", "label"));
  ASSERT_EQ(rows.num_rows, 8);
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(rows.values[3 * i], i < 5 ? 0 : 1);
  const Json document = RunJson(draw);
  EXPECT_EQ(document["sequence_lengths"], Json({5, 3}));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(document["rows"][i][0], rows.values[3 * i + 1]);
  EXPECT_EQ(RunJson({"sample", "quakes", "-n", "4"})["rows"].size(), 4u);
  EXPECT_THAT(Refused(With(draw, {"--sequence-column", "count"})),
              StartsWith("emctl: --sequence-column: got count, must be a name that is not there"));
  EXPECT_THAT(Refused(With(draw, {"--labels", "--sequence-column", "label"})),
              StartsWith("emctl: --sequence-column: got label, must be a name"));
  EXPECT_THAT(Refused(With(draw, {"--json", "--sequence-column", "s"})),
              StartsWith("emctl: --sequence-column: got s, must be absent with --json"));
  // A draw is a sequence to fit.
  const std::string drawn =
      dir_.Write("drawn.csv", Run(With(draw, {"--sequence-column", "s"})).output);
  EXPECT_EQ(RunJson({"fit", "poisson-hmm", "--data", drawn, "--sequence-column", "s"})["columns"],
            Json::array({"count"}));
}

TEST_F(EmctlSequences, KnowTransitionsBeginningsDurationsAndConstraints) {
  const auto transitions = [this](const Words& more) {
    return RunJson(Quakes(more))["parameters"]["transitions"];
  };
  EXPECT_EQ(transitions({"--transitions", "left-right"})[1][0], 0);
  EXPECT_EQ(transitions({"--forbid-transition", "0,1"})[0][1], 0);
  const Json around =
      RunJson({"fit", "poisson-hmm", "--data", kEarthquakes, "--columns", "count", "--states", "3",
               "--transitions", "stepwise", "--allow-transition", "2,0", "--model", "around"});
  EXPECT_EQ(around["parameters"]["transitions"][0][2], 0);
  EXPECT_EQ(around["parameters"]["transitions"][1][0], 0);
  EXPECT_EQ(around["parameters"]["transitions"][2][1], 0);
  EXPECT_THAT(Run({"models", "get", "around"}).output, HasSubstr("chosen transitions"));
  EXPECT_NEAR(transitions({"--fix", "transitions[0,1]=0.25"})[0][1], 0.25, 1e-12);

  const Json stationary = RunJson(Quakes({"--initial", "stationary"}));
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_NEAR(stationary["parameters"]["initial"][k], double(stationary["stationary"][k]), 1e-6);
  }
  const double free = RunJson(Quakes())["log_likelihood"];
  EXPECT_LE(double(stationary["log_likelihood"]), free + 1e-6);
  EXPECT_NE(RunJson(Quakes({"--stickiness", "10"}))["log_prior"], 0);

  const Json durations =
      RunJson(Quakes({"--durations", "poisson", "--max-duration", "20", "--model", "lasting"}));
  EXPECT_EQ(durations["parameters"]["duration_rates"].size(), 2u);
  EXPECT_EQ(durations["expected_durations"].size(), 2u);
  EXPECT_THAT(Run({"models", "get", "lasting"}).output,
              HasSubstr("poisson durations of at most 20"));
}

TEST_F(EmctlSequences, SweepNumbersOfStates) {
  const Words sweep = {"sweep", "poisson-hmm", "--data", kEarthquakes, "--columns",
                       "count", "--states",    "1-3",    "--model",    "best"};
  const Json document = RunJson(sweep);
  ASSERT_EQ(document["rows"].size(), 3u);
  const Json& best = document["rows"][size_t(document["best"])];
  for (const Json& row : document["rows"]) EXPECT_GE(row["bic"], best["bic"]);
  EXPECT_NEAR(document["rows"][1]["log_likelihood"], -341.87870, 1e-3);
  EXPECT_EQ(document["fit"]["bic"], best["bic"]);
  const Outcome shown = Run(sweep);
  EXPECT_THAT(shown.error, HasSubstr("candidate 1  poisson_hmm  2 states  log-likelihood"));
  EXPECT_THAT(shown.output, HasSubstr("STATES"));
  EXPECT_THAT(shown.output, Not(HasSubstr("COMPONENTS")));
  const Json families = RunJson({"sweep", "poisson-hmm", "--data", kEarthquakes, "--columns",
                                 "count", "--emissions", "poisson,negative-binomial", "-k", "2"});
  EXPECT_EQ(families["rows"][1]["family"], "negative_binomial_hmm");
}

TEST_F(EmctlSequences, FitEveryEmission) {
  const std::string bits =
      dir_.Write("bits.csv", "a,b\n0,1\n0,1\n0,0\n0,1\n1,0\n1,0\n1,1\n1,0\n0,1\n0,1\n");
  const std::string pairs =
      dir_.Write("pairs.csv", "a,b\n1,9\n2,8\n1,9\n3,9\n9,1\n8,2\n9,3\n9,1\n2,9\n1,8\n");
  const std::string directions =
      dir_.Write("directions.csv", "x,y\n1,0\n0.8,0.6\n0.96,0.28\n-1,0\n-0.8,0.6\n-0.96,0.28\n");
  const std::pair<const char*, std::string> families[] = {
      {"gaussian-hmm", kFaithful},    {"student-t-hmm", kFaithful},
      {"bernoulli-hmm", bits},        {"categorical-hmm", kGss82},
      {"multinomial-hmm", pairs},     {"negative-binomial-hmm", pairs},
      {"exponential-hmm", kFaithful}, {"gamma-hmm", kFaithful},
      {"log-normal-hmm", kFaithful},  {"von-mises-fisher-hmm", directions},
  };
  for (const auto& [family, data] : families) {
    SCOPED_TRACE(family);
    const Json fit = RunJson(
        {"fit", family, "--data", data, "--states", "2", "--restarts", "2", "--model", family});
    EXPECT_EQ(fit["parameters"]["initial"].size(), 2u);
    const Outcome predicted = Run({"predict", family, "--data", data});
    EXPECT_EQ(predicted.exit_status, 0) << predicted.error;
    EXPECT_THAT(predicted.output, StartsWith("label\n"));
  }
  const Json product =
      RunJson({"fit", "product-hmm", "--data", kIris, "--states", "2", "--part",
               "size=gaussian:Petal.Length,Petal.Width", "--part", "kind=categorical:Species",
               "--part-option", "size.covariance=diagonal", "--restarts", "2"});
  EXPECT_EQ(product["parameters"]["kind.probabilities_0"][0].size(), 3u);
}

TEST_F(EmctlSequences, ExplainRefusalsInOptions) {
  const auto quakes = [this](const Words& more) { return Refused(Quakes(more)); };
  EXPECT_THAT(quakes({"--sequence-lengths", "50,50"}),
              StartsWith("emctl: --sequence-lengths: got a sum of 100, must be 107"));
  EXPECT_THAT(quakes({"--sequence-lengths", "107,1"}), StartsWith("emctl: --sequence-lengths: "));
  EXPECT_THAT(quakes({"--sequence-column", "decade"}), HasSubstr("has no column \"decade\""));
  EXPECT_THAT(
      quakes({"--sequence-column", "count"}),
      HasSubstr("earthquakes.csv:11: --sequence-column: got 32 again after other sequences"));
  EXPECT_THAT(quakes({"--sequence-weights", "1"}),
              StartsWith("emctl: --sequence-column/--sequence-lengths: got neither"));
  EXPECT_THAT(quakes({"--sequence-lengths", "50,57", "--sequence-weights", "1"}),
              StartsWith("emctl: --sequence-weights: got 1 values, must be 2"));
  EXPECT_THAT(Refused({"fit", "poisson-hmm", "--data", kEarthquakes, "--states", "0"}),
              StartsWith("emctl: -k/--states/--components: got 0"));
  EXPECT_THAT(quakes({"--stickiness", "-1"}), StartsWith("emctl: --stickiness: got -1"));
  EXPECT_THAT(quakes({"--transition-concentration", "0.5"}),
              StartsWith("emctl: --transition-concentration: got 0.5"));
  EXPECT_THAT(quakes({"--durations", "poisson"}),
              StartsWith("emctl: --max-duration: got none with durations, must be 1 to "));
  EXPECT_THAT(quakes({"--forbid-transition", "0,0", "--forbid-transition", "0,1"}),
              StartsWith("emctl: --allow-transition/--forbid-transition: got none from state 0"));

  RunJson(Quakes({"--model", "quakes"}));
  const Words predict = {"predict", "quakes", "--data", kEarthquakes};
  EXPECT_THAT(Refused(With(predict, {"--sequence-lengths", "100,8"})),
              StartsWith("emctl: --sequence-lengths: got 8"));
  EXPECT_THAT(Refused(With(predict, {"--sequence-column", "count"})),
              StartsWith("emctl: --sequence-column: column \"count\": got "));

  const auto outputs = [&](const Words& more) { return Refused(With(predict, more)); };
  EXPECT_THAT(outputs({"--outputs", "forecasts", "--forecast-horizon", "0"}),
              StartsWith("emctl: --forecast-horizon: got 0, must be 1 to 1000000"));
  EXPECT_THAT(outputs({"--forecast-horizon", "2"}),
              StartsWith("emctl: --forecast-horizon: got 2, must be with forecasts in --outputs"));
  EXPECT_THAT(outputs({"--outputs", "labels,forecasts", "--num-paths", "3"}),
              StartsWith("emctl: --num-paths: got 3, must be with best-paths in --outputs"));
  EXPECT_THAT(outputs({"--outputs", "best-paths", "--num-paths", "101"}),
              StartsWith("emctl: --num-paths: got 101, must be 1 to 100"));
  EXPECT_THAT(outputs({"--num-paths", "two"}), HasSubstr("--num-paths: got two"));
  RunJson({"datasets", "upload", kEarthquakes, "--id", "quakes"});
  EXPECT_THAT(Refused({"predict", "quakes", "--dataset", "quakes", "--outputs", "forecasts",
                       "--forecast-horizon", "1000001"}),
              StartsWith("emctl: --forecast-horizon: got 1000001"));
  EXPECT_THAT(Refused({"predict", "quakes", "--dataset", "quakes", "--outputs", "best-paths",
                       "--num-paths", "0"}),
              StartsWith("emctl: --num-paths: got 0"));

  RunJson({"fit", "gaussian-mixture", "--data", kFaithful, "--model", "geyser"});
  const Words mixture = {"predict", "geyser", "--data", kFaithful};
  EXPECT_THAT(
      Refused(With(mixture, {"--sequence-lengths", "272"})),
      StartsWith("emctl: --sequence-column/--sequence-lengths: got some for models/geyser"));
  EXPECT_THAT(Refused(With(mixture, {"--outputs", "filtered"})), StartsWith("emctl: --outputs: "));
  EXPECT_THAT(Refused({"sample", "geyser", "--sequence-lengths", "2,2"}),
              StartsWith("emctl: --sequence-lengths: got some for models/geyser"));
}

}  // namespace
}  // namespace emserve
