// Models of sequences through the domain: what fits, predictions and samples make of the order of
// rows.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/predict_work.h"
#include "tests/server/chain_versions.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Pointwise;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr PredictionOutputs kOfRows{
    .labels = true, .posteriors = true, .log_densities = true, .filtered = true, .decoded = true};
constexpr PredictionOutputs kAll{.labels = true,
                                 .posteriors = true,
                                 .log_densities = true,
                                 .filtered = true,
                                 .decoded = true,
                                 .sequence_log_likelihoods = true,
                                 .path_log_probabilities = true};

TEST(HiddenMarkovPredictionTest, UmbrellasTellTheWeatherDayByDay) {
  const ModelVersion version = Umbrellas();
  SequenceState state;
  const auto ask = [&](double umbrella) {
    return version.predictor->Predict(InSequences(version, {umbrella}), kOfRows, nullptr, &state)
        .value();
  };
  const Prediction first = ask(1);
  EXPECT_NEAR(first.filtered[0], 0.818, 5e-4);
  // Nothing is known of the days to come.
  EXPECT_THAT(first.posteriors, Pointwise(DoubleNear(1e-12), first.filtered));
  EXPECT_NEAR(first.log_densities[0], std::log(0.55), 1e-12);
  const Prediction second = ask(1);
  EXPECT_NEAR(second.filtered[0], 0.883, 5e-4);
  EXPECT_NEAR(second.log_densities[0], std::log(0.639091), 1e-6);
  EXPECT_THAT(second.decoded, ElementsAre(0));

  const std::vector<double> week = {1, 1, 0, 1, 1};
  const Prediction whole = version.predictor->Predict(InSequences(version, week), kAll).value();
  EXPECT_THAT(whole.labels, ElementsAre(0, 0, 1, 0, 0));
  EXPECT_NEAR(whole.filtered[0], first.filtered[0], 1e-15);
  const Prediction days = version.predictor->Predict(InSequences(version, {1, 1}), kAll).value();
  EXPECT_NEAR(days.posteriors[0], 0.883, 5e-4);
  ASSERT_THAT(days.sequence_log_likelihoods, SizeIs(1));
  EXPECT_NEAR(days.sequence_log_likelihoods[0], std::log(0.55 * 0.639091), 1e-6);
  EXPECT_NEAR(days.path_log_probabilities[0], std::log(0.5 * 0.9 * 0.7 * 0.9), 1e-12);
}

// A missing umbrella is a day of which only the calendar is known.
TEST(HiddenMarkovPredictionTest, AMissingRowIsAStepInTime) {
  const ModelVersion version = Umbrellas();
  const Prediction got =
      version.predictor->Predict(InSequences(version, {1, kNan}), kOfRows).value();
  EXPECT_NEAR(got.log_densities[1], 0, 1e-12);
  EXPECT_NEAR(got.filtered[2], 0.7 * got.filtered[0] + 0.3 * got.filtered[1], 1e-12);
  EXPECT_NEAR(got.posteriors[0], got.filtered[0], 1e-12);
}

// However a sequence is cut into messages, the answers are those of the whole.
TEST(HiddenMarkovPredictionTest, ASequenceGoesOnFromTableToTable) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 2000);
  const Table table = InSequences(version, values);
  const Prediction whole = version.predictor->Predict(table, kAll).value();
  for (const size_t size : {1u, 7u, 900u, 2000u}) {
    SequenceState state;
    Prediction parts;
    double sum = 0;
    for (size_t begin = 0; begin < values.size(); begin += size) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto count = std::min(size, values.size() - begin);
      const Table part = InSequences(
          version, std::vector<double>(first, first + static_cast<std::ptrdiff_t>(count)));
      PredictionOutputs outputs = kOfRows;
      outputs.sequence_log_likelihoods = true;
      const Prediction got = version.predictor->Predict(part, outputs, nullptr, &state).value();
      parts.filtered.insert(parts.filtered.end(), got.filtered.begin(), got.filtered.end());
      parts.log_densities.insert(parts.log_densities.end(), got.log_densities.begin(),
                                 got.log_densities.end());
      sum += got.sequence_log_likelihoods.at(0);
      parts.labels = got.labels;
      parts.posteriors = got.posteriors;
    }
    EXPECT_THAT(parts.filtered, Pointwise(DoubleNear(1e-10), whole.filtered)) << size;
    EXPECT_THAT(parts.log_densities, Pointwise(DoubleNear(1e-10), whole.log_densities)) << size;
    EXPECT_NEAR(sum, whole.sequence_log_likelihoods[0], 1e-8) << size;
    // The last message knows all there is to know.
    EXPECT_TRUE(std::equal(parts.labels.rbegin(), parts.labels.rend(), whole.labels.rbegin()));
    EXPECT_TRUE(std::equal(parts.posteriors.rbegin(), parts.posteriors.rend(),
                           whole.posteriors.rbegin(),
                           [](double a, double b) { return std::abs(a - b) < 1e-10; }))
        << size;
  }
}

TEST(HiddenMarkovPredictionTest, SequencesKnowNothingOfEachOther) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 3000);
  const std::vector<int64_t> lengths = {1, 999, 1400, 2, 598};
  const Prediction together =
      version.predictor->Predict(InSequences(version, values, lengths), kAll).value();
  ASSERT_THAT(together.sequence_log_likelihoods, SizeIs(5));
  int64_t first = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const std::vector<double> of_one(values.begin() + first, values.begin() + first + lengths[s]);
    const Prediction alone = version.predictor->Predict(InSequences(version, of_one), kAll).value();
    EXPECT_NEAR(together.sequence_log_likelihoods[s], alone.sequence_log_likelihoods[0], 1e-8);
    EXPECT_NEAR(together.path_log_probabilities[s], alone.path_log_probabilities[0], 1e-8);
    EXPECT_LT(together.path_log_probabilities[s], together.sequence_log_likelihoods[s]);
    for (int64_t i = 0; i < lengths[s]; ++i) {
      EXPECT_EQ(together.labels[static_cast<size_t>(first + i)],
                alone.labels[static_cast<size_t>(i)]);
      EXPECT_NEAR(together.posteriors[static_cast<size_t>(3 * (first + i))],
                  alone.posteriors[static_cast<size_t>(3 * i)], 1e-10);
    }
    first += lengths[s];
  }
}

TEST(HiddenMarkovPredictionTest, ADatasetIsPredictedAsATableIs) {
  const ModelVersion version = Counts();
  const std::vector<double> values = Drawn(version, 20000);
  const Table table = InSequences(version, values, {7000, 1, 12000, 999});
  const Prediction one = version.predictor->Predict(table, kAll).value();
  const int width = version.predictor->NumOutputColumns(kAll);
  ASSERT_EQ(width, 1 + 3 + 1 + 3 + 1 + 1 + 1);
  for (const int threads : {1, 3}) {
    Pool pool(threads);
    Pool::Share share(pool);
    std::vector<double> rows(values.size() * static_cast<size_t>(width));
    ASSERT_THAT(version.predictor->PredictRows(
                    table, kAll, share, {}, [](int) {}, rows.data()),
                IsOk());
    for (size_t i = 0; i < values.size(); ++i) {
      const double* const row = rows.data() + i * static_cast<size_t>(width);
      EXPECT_EQ(row[0], static_cast<double>(one.labels[i]));
      EXPECT_EQ(row[1], one.posteriors[3 * i]);
      EXPECT_EQ(row[4], one.log_densities[i]);
      EXPECT_EQ(row[5], one.filtered[3 * i]);
      EXPECT_EQ(row[8], static_cast<double>(one.decoded[i]));
      const auto s = static_cast<size_t>(table.sequences()->Of(static_cast<int64_t>(i)));
      EXPECT_EQ(row[9], one.sequence_log_likelihoods[s]);
      EXPECT_EQ(row[10], one.path_log_probabilities[s]);
    }
  }
}

TEST(HiddenMarkovPredictionTest, ABadTableLeavesTheSequenceWhereItStands) {
  const ModelVersion version = Counts();
  SequenceState state;
  const auto ask = [&](double value, PredictionOutputs outputs = kOfRows) {
    return version.predictor->Predict(InSequences(version, {value}), outputs, nullptr, &state);
  };
  ASSERT_THAT(ask(3), IsOk());
  const SequenceState before = state;
  EXPECT_THAT(ask(-1), FailsWith(kInvalid, "rows[0]: got -1"));
  EXPECT_THAT(ask(std::numeric_limits<double>::infinity()), FailsWith(kInvalid, "rows[0]: got"));
  EXPECT_THAT(ask(3, kAll), FailsWith(kInvalid, "outputs: got log-probabilities of paths"));
  EXPECT_EQ(state.all, before.all);
  EXPECT_EQ(state.best, before.best);
}

TEST(HiddenMarkovPredictionTest, ARowThatCannotFollowIsNamed) {
  // The second state is for good, and in it there are no umbrellas.
  const ModelVersion version = VersionOf(HmmOptions{.num_states = 2,
                                                    .emission = BernoulliOptions{},
                                                    .transitions = TransitionPattern::kStepwise},
                                         {0, 1, 0.5, 0.5, 0, 1, 0.5, 0});
  EXPECT_THAT(version.predictor->Predict(InSequences(version, {0, 0, 1, 0}), {.labels = true}),
              FailsWith(kInvalid, "rows[2]: got values with log density -inf after the rows"));
}

TEST(HiddenMarkovPredictionTest, OnlySequencesHaveWhatIsOfSequences) {
  const ModelVersion version = TwoClusterVersion();
  const Table table = Table::FromValues({0, 0}, 1, 2).value();
  const auto refused = [&](PredictionOutputs outputs, const char* text) {
    EXPECT_THAT(version.predictor->Predict(table, outputs), FailsWith(kInvalid, text));
  };
  refused({.filtered = true}, "outputs: got filtered posteriors of a gaussian_mixture");
  refused({.decoded = true}, "outputs: got decoded states");
  refused({.sequence_log_likelihoods = true}, "outputs: got log-likelihoods of sequences");
  refused({.path_log_probabilities = true}, "outputs: got log-probabilities of paths");
}

TEST(HiddenMarkovPredictionTest, SamplesFollowTheChain) {
  const ModelVersion version = VersionOf(HmmOptions{.num_states = 3,
                                                    .emission = PoissonOptions{},
                                                    .transitions = TransitionPattern::kStepwise},
                                         {1, 0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0, 1, 1, 10, 1000});
  const SampledRows one = version.predictor->Sample(50, 1).value();
  EXPECT_EQ(one.labels.front(), 0);
  EXPECT_EQ(one.labels.back(), 2);
  EXPECT_TRUE(std::is_sorted(one.labels.begin(), one.labels.end()));
  EXPECT_GT(one.rows.back(), 500);
  const Sequences single = Sequences::FromLengths(std::vector<int64_t>(50, 1), 50).value();
  EXPECT_THAT(version.predictor->Sample(50, 1, nullptr, &single).value().labels, Each(0));
}

// Two states that take turns of three steps each.
TEST(HiddenMarkovPredictionTest, StatesLastAsLongAsTheirDurationsSay) {
  const ModelVersion version = VersionOf(HmmOptions{.num_states = 2,
                                                    .emission = PoissonOptions{},
                                                    .durations = DurationKind::kFree,
                                                    .max_duration = 3},
                                         {1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 50});
  const SampledRows sampled = version.predictor->Sample(8, 1).value();
  EXPECT_THAT(sampled.labels, ElementsAre(0, 0, 0, 1, 1, 1, 0, 0));
  // The third is out of the ordinary, but the state has not had its time.
  SequenceState state;
  for (const double value : {1, 2, 40, 48}) {
    const Prediction got =
        version.predictor->Predict(InSequences(version, {value}), kOfRows, nullptr, &state).value();
    EXPECT_THAT(got.labels, ElementsAre(value == 48 ? 1 : 0)) << value;
    EXPECT_EQ(got.decoded, got.labels);
  }
}

class HiddenMarkovFitTest : public FitTest {
 protected:
  // Counts of earthquakes with the number of the sequence: 0 for the first 40 years, then 7.
  static std::vector<double> NumberedEarthquakes() {
    std::vector<double> cells;
    for (const std::vector<std::string>& row : emserve::testing::ReadCsv("earthquakes.csv")) {
      const bool early = cells.size() < 2 * 40;
      cells.insert(cells.end(), {std::strtod(row.at(1).c_str(), nullptr), early ? 0.0 : 7.0});
    }
    return cells;
  }
  static FitRequest Earthquakes(int num_states = 2) {
    FitRequest request = InlineRequest(NumberedEarthquakes(), {"count", "era"});
    request.model = HmmOptions{.num_states = num_states, .emission = PoissonOptions{}};
    return request;
  }
  static SequenceSource Column(std::string name) {
    return {.column = std::move(name), .lengths = {}, .weights = {}};
  }
  static SequenceSource Lengths(std::vector<int64_t> lengths, std::vector<double> weights = {}) {
    return {.column = {}, .lengths = std::move(lengths), .weights = std::move(weights)};
  }
};

// Zucchini, MacDonald & Langrock (2016), section 4.3.
TEST_F(HiddenMarkovFitTest, EarthquakesReachThePublishedLogLikelihood) {
  FitRequest request = Earthquakes();
  request.source.columns = {"count"};
  const auto version = Fitted(request).version;
  EXPECT_GE(version->report->log_likelihood, -341.87870 - 1e-3);
  EXPECT_EQ(FamilyName(version->options), "poisson_hmm");
  EXPECT_TRUE(version->report->criteria.bic.has_value());
}

TEST_F(HiddenMarkovFitTest, AColumnAndLengthsCutAlike) {
  FitRequest by_column = Earthquakes();
  by_column.source.sequences = Column("era");  // which is then not modelled
  const auto cut = Fitted(by_column).version;
  EXPECT_THAT(cut->columns, SizeIs(1));
  FitRequest by_lengths = Earthquakes();
  by_lengths.source.columns = {"count"};
  by_lengths.source.sequences = Lengths({40, 67});
  EXPECT_EQ(Fitted(by_lengths).version->theta, cut->theta);
  by_lengths.source.sequences = Lengths({40, 67}, {1, 1});
  EXPECT_EQ(Fitted(by_lengths).version->theta, cut->theta);
  // One sequence, or no weight on the second, is something else.
  by_lengths.source.sequences.reset();
  EXPECT_NE(Fitted(by_lengths).version->theta, cut->theta);
  by_lengths.source.sequences = Lengths({40, 67}, {1, 0.25});
  EXPECT_NE(Fitted(by_lengths).version->theta, cut->theta);
}

// A wrong column, or rows in the wrong table.
TEST_F(HiddenMarkovFitTest, SequencesOfOneRowEachAreWarnedOf) {
  const auto warnings = [this](std::optional<SequenceSource> sequences) {
    FitRequest request = Earthquakes();
    request.source.columns = {"count"};
    request.source.sequences = std::move(sequences);
    request.options.max_iterations = 2;
    const auto work = MakeFitWork(std::move(request), environment(), "job-1").value();
    WorkRun run(server_.pool, server_.clock.get());
    EXPECT_THAT(run.Run(*work), IsOk());
    return run.Warnings("NO_TRANSITIONS").size();
  };
  EXPECT_EQ(warnings(Lengths(std::vector<int64_t>(107, 1))), 1u);
  EXPECT_EQ(warnings(Lengths({106, 1})), 0u);
  EXPECT_EQ(warnings(std::nullopt), 0u);
}

TEST_F(HiddenMarkovFitTest, SequencesSurviveInFloat32) {
  FitRequest request = Earthquakes();
  request.source.sequences = Column("era");
  const auto wide = Fitted(request).version;
  request.storage = Storage::kFloat32;
  EXPECT_EQ(Fitted(request).version->theta, wide->theta);  // small counts are exact
}

TEST_F(HiddenMarkovFitTest, SequencesThatDoNotFitAreRefusedByTheirField) {
  const auto refused = [&](SequenceSource sequences, const char* text) {
    FitRequest request = Earthquakes();
    request.source.sequences = std::move(sequences);
    EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, text));
  };
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  refused(Lengths({}), "sequences.lengths.lengths: got a sum of 0");
  refused(Lengths({107, 1}), "sequences.lengths.lengths[1]: got 1");
  refused(Lengths({100}), "sequences.lengths.lengths: got a sum of 100");
  refused(Lengths({0, 107}), "sequences.lengths.lengths[0]: got 0");
  refused(Lengths({110, -3}), "sequences.lengths.lengths[0]: got 110");
  refused(Lengths({50, -3, 60}), "sequences.lengths.lengths[1]: got -3");
  refused(Lengths({kHuge, kHuge, 109}), "sequences.lengths.lengths[0]: got");
  refused(Lengths({std::numeric_limits<int64_t>::min()}), "sequences.lengths.lengths[0]: got");
  refused(Lengths(std::vector<int64_t>(1000, 1)), "sequences.lengths.lengths: got 1000 of them");
  refused(Lengths({40, 67}, {1}), "sequences.weights: got 1");
  refused(Lengths({40, 67}, {1, -1}), "sequences.weights[1]: got -1");
  refused(Lengths({40, 67}, {kNan, 1}), "sequences.weights[0]: got nan");
  refused(Column("nothing"), "sequences.column: got \"nothing\"");
  refused(Column(""), "sequences.column: got \"\"");

  const auto refused_cells = [&](std::vector<double> era, const char* text) {
    std::vector<double> cells;
    for (size_t i = 0; i < era.size(); ++i) {
      cells.insert(cells.end(), {static_cast<double>(i), era[i]});
    }
    FitRequest request = InlineRequest(cells, {"count", "era"});
    request.model = HmmOptions{.num_states = 2, .emission = PoissonOptions{}};
    request.source.sequences = Column("era");
    EXPECT_THAT(Refusal(std::move(request)), FailsWith(kInvalid, text));
  };
  refused_cells({1, 1, kNan, 2}, "sequences.column: got a missing cell in row 2");
  refused_cells({1, 2, 2, 1}, "sequences.column: got 1 again in row 3");
}

TEST_F(HiddenMarkovFitTest, AMixtureHasNoSequences) {
  FitRequest request = Earthquakes();
  request.model = Mixture(2);
  request.source.sequences = Lengths({40, 67});
  EXPECT_THAT(Refusal(std::move(request)),
              FailsWith(kInvalid,
                        "sequences: got some with gaussian_mixture, which has no "
                        "sequences; must be absent"));
}

TEST_F(HiddenMarkovFitTest, StatesAreCountedBeforeAnythingIsMadeOfThem) {
  FitRequest request = Earthquakes(0);
  request.model_field = [](std::string_view field) {
    return "hidden_markov." + std::string(field);
  };
  EXPECT_THAT(Refusal(request), FailsWith(kInvalid, "model.hidden_markov.num_states: got 0"));
  request = Earthquakes(108);
  EXPECT_THAT(Refusal(request), FailsWith(absl::StatusCode::kFailedPrecondition,
                                          "num_states: got 108, must be at most 107"));
}

// Two messages a block, transfers of few states, and what constraints of transitions cost.
TEST_F(HiddenMarkovFitTest, MessagesAndTransitionsCount) {
  const auto bytes = [&](HmmOptions options) {
    FitRequest request = InlineRequest(std::vector<double>(100000, 1.0), {"count"});
    request.model = std::move(options);
    return MakeFitWork(std::move(request), environment(), "job-1").value()->working_bytes();
  };
  const HmmOptions full{.num_states = 40, .emission = PoissonOptions{}};
  HmmOptions stepwise = full;
  stepwise.transitions = TransitionPattern::kStepwise;
  EXPECT_GE(bytes(stepwise), bytes(full) + 4 * 40 * 40);
  const int64_t mixture = [&] {
    FitRequest request = InlineRequest(std::vector<double>(100000, 1.0), {"count"});
    request.model = MixtureOptions{.num_components = 40, .emission = PoissonOptions{}};
    return MakeFitWork(std::move(request), environment(), "job-1").value()->working_bytes();
  }();
  EXPECT_GE(bytes(full), mixture + 100000 / 480 * 2 * 40 * 8);
  EXPECT_THAT(MakeFitWork(
                  [&] {
                    FitRequest request = InlineRequest(std::vector<double>(10000, 1.0), {"count"});
                    request.model = HmmOptions{.num_states = 10000, .emission = PoissonOptions{}};
                    return request;
                  }(),
                  [&] {
                    FitEnvironment small = environment();
                    small.max_working_bytes = int64_t{1} << 32;
                    return small;
                  }(),
                  "job-1"),
              FailsWith(absl::StatusCode::kResourceExhausted, "bytes of working memory"));
}

TEST_F(HiddenMarkovFitTest, HeldSequencesCount) {
  const auto held = [&](std::optional<SequenceSource> sequences) {
    FitRequest request = Earthquakes();
    request.source.columns = {"count"};
    request.source.sequences = std::move(sequences);
    return MakeFitWork(std::move(request), environment(), "job-1").value()->held_bytes();
  };
  const int64_t without = held(std::nullopt);
  const std::vector<int64_t> ones(107, 1);
  EXPECT_EQ(held(Lengths(ones)), without + 107 * 8);
  EXPECT_EQ(held(Lengths(ones, std::vector<double>(107, 1.0))), without + 107 * 16);
}

// As many as they had: initial probabilities are counted in sequences.
TEST_F(HiddenMarkovFitTest, AnUpdateKnowsTheSequencesOfItsPast) {
  FitRequest request = Earthquakes();
  request.source.columns = {"count"};
  request.source.sequences = Lengths({40, 67}, {1, 0.5});
  const auto old = Fitted(request).version;
  EXPECT_EQ(old->report->criteria.num_sequences, 1.5);
  EXPECT_EQ(old->report->past.num_sequences, 0);
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m";
  request.update.emplace();
  const auto updated = Fitted(request).version;
  EXPECT_EQ(updated->report->past.num_observations, 40 + 67 * 0.5);
  EXPECT_EQ(updated->report->past.num_sequences, 1.5);
  // Less of the past is forgotten in proportion.
  request.update->weight = 73.5;
  EXPECT_EQ(Fitted(request).version->report->past.num_sequences, 1.5);
}

class HiddenMarkovDatasetTest : public FitTest {
 protected:
  HiddenMarkovDatasetTest() { EXPECT_THAT(server_.registry.Add("m", Umbrellas()), IsOk()); }

  PredictEnvironment predictions() { return {&server_.datasets, &server_.registry, &server_.pool}; }
  static PredictRequest Request(std::optional<SequenceSource> sequences) {
    return {.model = "models/m",
            .dataset = "datasets/d",
            .outputs = {.labels = true,
                        .filtered = true,
                        .decoded = true,
                        .sequence_log_likelihoods = true,
                        .path_log_probabilities = true},
            .sequences = std::move(sequences),
            .output_dataset_id = "out"};
  }
};

TEST_F(HiddenMarkovDatasetTest, EveryRowTellsItsSequencesFigures) {
  UploadCells("d", {"day", "x"}, {1, 1, 1, 1, 2, 1});
  auto work = MakePredictWork(
      Request(SequenceSource{.column = "day", .lengths = {}, .weights = {}}), predictions(), "j");
  ASSERT_THAT(work, IsOk());
  EXPECT_EQ((*work)->held_bytes(), 2 * 8);  // where the sequences begin
  WorkRun run(server_.pool, server_.clock.get());
  ASSERT_THAT(run.Run(**work), IsOk());
  const auto content = server_.datasets.Content("out").value();
  std::vector<std::string> names;
  for (const ColumnSchema& column : content->schema->columns) names.push_back(column.name);
  EXPECT_THAT(names, ElementsAre("label", "filtered_0", "filtered_1", "decoded",
                                 "sequence_log_likelihood", "path_log_probability"));
  EXPECT_EQ(content->schema->columns[3].kind, ColumnKind::kCategorical);
  const auto cell = [&](int64_t row, int column) { return LoadCell(content->cells, row, column); };
  EXPECT_NEAR(cell(1, 1), 0.883, 5e-4);
  EXPECT_NEAR(cell(2, 1), 0.818, 5e-4);
  for (int64_t row = 0; row < 3; ++row) {
    EXPECT_NEAR(cell(row, 4), row < 2 ? std::log(0.55 * 0.639091) : std::log(0.55), 1e-6);
    EXPECT_NEAR(cell(row, 5), std::log(row < 2 ? 0.45 * 0.7 * 0.9 : 0.45), 1e-12);
  }
}

TEST_F(HiddenMarkovDatasetTest, SequencesMustFitRowsAndModel) {
  UploadCells("d", {"x", "y"}, {1, 1, 0, 0, 1, 1});
  const auto refused = [&](PredictRequest request, const char* text) {
    EXPECT_THAT(MakePredictWork(request, predictions(), "j"), FailsWith(kInvalid, text));
  };
  refused(Request(SequenceSource{.column = {}, .lengths = {2}, .weights = {}}),
          "sequences.lengths.lengths: got a sum of 2");
  refused(Request(SequenceSource{.column = "z", .lengths = {}, .weights = {}}),
          "sequences.column: got \"z\"");
  ASSERT_THAT(server_.registry.Add("clusters", TwoClusterVersion()), IsOk());
  PredictRequest request = Request(SequenceSource{.column = {}, .lengths = {3}, .weights = {}});
  request.model = "models/clusters";
  refused(request, "sequences: got some for models/clusters/versions/1, a gaussian_mixture");
  request.sequences.reset();
  refused(request, "outputs: got filtered posteriors");
}

}  // namespace
}  // namespace emserve::server
