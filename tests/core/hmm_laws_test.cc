// Hidden Markov models of every emission under every law, and every law of chains against a model
// that breaks it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/data/narrow.h"
#include "core/em/chain.h"
#include "core/em/scratch.h"
#include "gtest/gtest.h"
#include "tests/core/broken_model.h"
#include "tests/core/chain_data.h"
#include "tests/core/chain_laws.h"
#include "tests/core/law_cases.h"
#include "tests/core/laws.h"

namespace emserve::testing {
namespace {

constexpr int kStates = 3;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Case {
  std::string name;
  EmissionOptions emission;
  HmmOptions options;
  Shape shape = Real;
  bool closed_form = true;     // the maximisation is the maximum of Q
  HmmOptions restrained = {};  // the same with priors, constraints and mostly a left-right pattern
  bool missing = true;         // cells may be missing
  bool searched = false;       // for the maximum over some parameters, as far as it is not flat
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

HmmOptions Plain(const EmissionOptions& emission) {
  HmmOptions options;
  options.num_states = kStates;
  options.emission = emission;
  return options;
}

// Of Gaussians those structures that differ in what states share.
bool Wanted(const EmissionCase& emission) {
  const auto* const gaussian = std::get_if<GaussianOptions>(&emission.options);
  if (gaussian == nullptr) return true;
  return gaussian->covariance == Covariance::kFull || gaussian->covariance == Covariance::kTied ||
         gaussian->covariance == Covariance::kDiagonal;
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const EmissionCase& emission : EmissionCases()) {
    if (!Wanted(emission)) continue;
    HmmOptions restrained = Plain(emission.with_prior);
    restrained.transitions = TransitionPattern::kLeftRight;
    restrained.transition_concentration = 1.5;
    restrained.initial_concentration = 1.25;
    restrained.stickiness = 2;
    restrained.constraints.fixed.push_back(emission.fixed);
    restrained.constraints.tied.push_back({"initial", {0, 2}});
    restrained.constraints.tied.push_back({"transitions", {1, 2}});
    Case c;
    c.name = emission.Name("hmm");
    c.emission = emission.options;
    c.options = Plain(emission.options);
    c.shape = emission.shape;
    c.closed_form = emission.closed_form;
    c.restrained = std::move(restrained);
    c.missing = emission.missing();
    cases.push_back(std::move(c));
  }
  // Of chains that are more than Markov, with the last emission, a Gaussian's.
  Case more = cases.back();
  more.closed_form = false;
  more.restrained.transitions = TransitionPattern::kFull;
  more.restrained.stickiness = 0;
  more.restrained.constraints.tied.erase(more.restrained.constraints.tied.begin());
  Case stationary = more;
  stationary.name = "gaussian_hmm_stationary";
  stationary.searched = true;
  stationary.options.initial = stationary.restrained.initial = InitialDistribution::kStationary;
  stationary.restrained.initial_concentration = 1;
  stationary.restrained.constraints.tied.push_back({"transitions", {4, 8}});
  cases.push_back(std::move(stationary));
  for (const auto& [name, kind] : {std::pair("free", DurationKind::kFree),
                                   {"poisson", DurationKind::kPoisson},
                                   {"negative_binomial", DurationKind::kNegativeBinomial}}) {
    Case lasting = more;
    lasting.name = absl::StrCat("gaussian_hmm_with_", name, "_durations");
    lasting.closed_form = kind == DurationKind::kFree;
    lasting.searched = kind != DurationKind::kFree;
    for (HmmOptions* const options : {&lasting.options, &lasting.restrained}) {
      options->durations = kind;
      options->max_duration = kind == DurationKind::kFree ? 4 : 10;
    }
    if (kind == DurationKind::kFree) lasting.restrained.duration_concentration = 1.5;
    cases.push_back(std::move(lasting));
  }
  return cases;
}

// 331 rows in sequences of many lengths.
ChainData DataFor(Shape shape) {
  ChainData data{.rows = LastingBlobs(331, 5, kStates, 1.5, 0.8, 17),
                 .lengths = {1, 2, 90, 1, 60, 7, 40, 130},
                 .weights = {}};
  Reshape(shape, data.rows);
  return data;
}

// A long chain and many short ones: rows for several blocks and two lanes.
ChainData ManyRows(Shape shape) {
  ChainData data{
      .rows = LastingBlobs(9200, 5, kStates, 1.5, 0.9, 18), .lengths = {6000}, .weights = {}};
  data.lengths.resize(1 + 3200 / 4, 4);
  Reshape(shape, data.rows);
  return data;
}

// ------------------------------------------------------------------------------------------------
// Every emission under every law.

class HmmLaws : public ::testing::TestWithParam<Case> {
 protected:
  HmmLaws()
      : data_(DataFor(GetParam().shape)),
        subject_(MakeSubject(GetParam().options, data_.ToTable())) {
    theta_ = RandomChainTheta(*subject_.model, subject_.table, subject_.summary, 1);
    // Away from the symmetric start, where some mistakes would not show.
    for (int i = 0; i < 3; ++i) theta_ = OneIteration(*subject_.model, subject_.table, theta_);
  }

  // The first 22 rows in short sequences with weights of rows and sequences, labels and, where
  // cells may be missing, a missing cell and a missing row.
  Table ShortTable() const {
    ChainData data{.rows = {.num_columns = 6, .values = {}, .weights = {}},
                   .lengths = {6, 1, 5, 6, 4},
                   .weights = {1, 2, 0.5, 1, 0}};
    for (int64_t i = 0; i < 22; ++i) {
      for (int c = 0; c < 5; ++c) {
        const bool gone = GetParam().missing && (i == 2 || i == 14 || (i == 8 && c == 3));
        data.rows.values.push_back(gone ? kNaN : data_.rows.values[i * 5 + c]);
      }
      data.rows.values.push_back(i == 4 || i == 14 ? 2 : i == 7 ? 0 : -1);
      data.rows.weights.push_back(i % 7 == 3 ? 0 : 0.5 + 0.25 * static_cast<double>(i % 6));
    }
    Table::Options options;
    options.columns = {0, 1, 2, 3, 4};
    options.label_column = 5;
    options.label_components = kStates;
    return data.ToTable(options);
  }

  FitOptions Precise(double relative_tolerance = 1e-12) const {
    FitOptions options;
    options.restarts = 2;
    options.relative_tolerance = relative_tolerance;
    options.max_iterations = 20000;
    return options;
  }
  absl::StatusOr<FitResult> Fit(const ChainData& data, const FitOptions& options) const {
    return FitTable(GetParam().options, data.ToTable(), options);
  }

  const ChainData data_;
  const Subject subject_;
  Theta theta_;
};

TEST_P(HmmLaws, ObjectiveNeverDecreases) {
  EXPECT_TRUE(ObjectiveNeverDecreases(*subject_.model, subject_.table, theta_, 60));
}

TEST_P(HmmLaws, NoAlgorithmEndsWithADecreasedObjective) {
  for (const Algorithm algorithm :
       {Algorithm::kEm, Algorithm::kClassificationEm, Algorithm::kStochasticEm,
        Algorithm::kAnnealedEm, Algorithm::kStepwiseEm}) {
    FitOptions options;
    options.algorithm = algorithm;
    options.restarts = 2;
    options.stochastic_iterations = 10;
    options.stepwise_epochs = 2;
    options.stepwise_batch_rows = 64;
    const auto fit = Fit(data_, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const RestartOutcome& outcome : fit->restarts) {
      EXPECT_TRUE(outcome.status.ok()) << outcome.status;
      EXPECT_NE(outcome.termination, Termination::kObjectiveDecreased)
          << static_cast<int>(algorithm) << ": " << outcome.message;
    }
  }
}

TEST_P(HmmLaws, BlocksLeaveNoTrace) {
  EXPECT_TRUE(BlocksLeaveNoTrace(*subject_.model, subject_.table, theta_));
  ChainData one = data_;
  one.lengths.clear();
  EXPECT_TRUE(BlocksLeaveNoTrace(*subject_.model, one.ToTable(), theta_));
}

TEST_P(HmmLaws, DrawsHaveTheirPosterior) {
  EXPECT_TRUE(DrawsHaveTheirPosterior(*subject_.model, subject_.table, theta_));
}

TEST_P(HmmLaws, SequencesAddUp) { EXPECT_TRUE(SequencesAddUp(*subject_.model, data_, theta_)); }

TEST_P(HmmLaws, SequenceWeightsAreMultiplicities) {
  EXPECT_TRUE(SequenceWeightsAreMultiplicities(*subject_.model, data_, theta_));
}

TEST_P(HmmLaws, AgreeWithAllPathsWithWeightsLabelsAndMissingRows) {
  EXPECT_TRUE(AgreesWithAllPaths(*subject_.model, ShortTable(), theta_));
}

TEST_P(HmmLaws, AMissingRowIsARowOfWeightZero) {
  if (!GetParam().missing) GTEST_SKIP() << "rows are whole";
  ChainData missing = data_;
  ChainData weightless = data_;
  weightless.rows.weights.assign(data_.rows.num_rows(), 1);
  for (const int64_t row : {0, 3, 50, 51, 52, 92, 93, 330}) {
    std::fill_n(missing.rows.values.begin() + row * 5, 5, kNaN);
    weightless.rows.weights[row] = 0;
  }
  for (const Assignment::Kind kind : {Assignment::Kind::kPosterior, Assignment::Kind::kHard}) {
    const Assignment assignment{.kind = kind, .inverse_temperature = 1, .seed = 0};
    EXPECT_TRUE(SamePass(RunBlocks(*subject_.model, missing.ToTable(), theta_, assignment),
                         RunBlocks(*subject_.model, weightless.ToTable(), theta_, assignment),
                         "missing rows"));
  }
}

TEST_P(HmmLaws, MaximizationMaximizesQ) {
  EXPECT_TRUE(ChainMaximizesQ(*subject_.model, subject_.table, subject_.summary, theta_,
                              GetParam().closed_form));
}

TEST_P(HmmLaws, MaximizationMaximizesQWithWeights) {
  ChainData weighted = data_;
  for (int64_t i = 0; i < data_.rows.num_rows(); ++i) {
    weighted.rows.weights.push_back(0.25 * static_cast<double>(i % 9));
  }
  for (int64_t s = 0; s < data_.num_sequences(); ++s) {
    weighted.weights.push_back(0.5 * static_cast<double>(s % 4));
  }
  const Subject subject = MakeSubject(GetParam().options, weighted.ToTable());
  EXPECT_TRUE(ChainMaximizesQ(*subject.model, subject.table, subject.summary, theta_,
                              GetParam().closed_form));
  EXPECT_TRUE(ScoreIsThatOfQ(*subject.model, subject.table, subject.summary, theta_));
}

TEST_P(HmmLaws, ScoreIsThatOfQ) {
  EXPECT_TRUE(ScoreIsThatOfQ(*subject_.model, subject_.table, subject_.summary, theta_));
}

TEST_P(HmmLaws, RelabellingTheStartRelabelsTheResult) {
  EXPECT_TRUE(RelabellingRelabelsStates(*subject_.model, subject_.table, theta_,
                                        GetParam().searched ? 1e-5 : 1e-8));
}

TEST_P(HmmLaws, FitFromTheTruthBeatsTheTruth) {
  EXPECT_TRUE(TruthOfAChainIsBeaten(*subject_.model, theta_));
}

TEST_P(HmmLaws, ConvergedFitIsAFixedPoint) {
  const auto fit = Fit(data_, Precise(1e-15));
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  EXPECT_TRUE(ConvergedIsFixedPoint(*subject_.model, subject_.table, fit->theta));
}

TEST_P(HmmLaws, ThreadsDoNotChangeBits) {
  const Subject subject = MakeSubject(GetParam().options, ManyRows(GetParam().shape).ToTable());
  EXPECT_TRUE(ThreadsDoNotChangeBits(*subject.model, subject.table, subject.summary));
}

TEST_P(HmmLaws, EStepDoesNotAllocate) {
  EXPECT_TRUE(EStepDoesNotAllocate(*subject_.model, ManyRows(GetParam().shape).ToTable(), theta_));
}

TEST_P(HmmLaws, NonFiniteRowsAreRejectedByIndex) {
  const auto fit = [this](const Data& rows) {
    ChainData data = data_;
    data.rows = rows;
    return Fit(data, Precise());
  };
  EXPECT_TRUE(NonFiniteRowsAreRejected(fit, data_.rows));
}

TEST_P(HmmLaws, ExpectedStatisticsGiveTheParametersBack) {
  Theta next = OfExpectedStatistics(*subject_.model, theta_);
  if (GetParam().searched) {
    // Durations are the same, their parameters as far as they matter.
    EXPECT_TRUE(AllNear(LogDurations(*subject_.model, next), LogDurations(*subject_.model, theta_),
                        1e-6, "durations"));
    for (const char* const name : {"duration_rates", "duration_means", "duration_sizes"}) {
      const ArraySpec* const array = subject_.model->parameters().Find(name);
      if (array == nullptr) continue;
      std::copy_n(theta_.begin() + array->offset, array->size, next.begin() + array->offset);
    }
  }
  EXPECT_TRUE(ComeBack(theta_, next, 1e-6));
}

TEST_P(HmmLaws, CoordinatesGoThereAndBack) {
  EXPECT_TRUE(emserve::testing::CoordinatesGoThereAndBack(*subject_.model, theta_));
}

TEST_P(HmmLaws, AccelerationReachesThePlainOptimum) {
  FitOptions options = Precise();
  options.restarts = 1;
  EXPECT_TRUE(AccelerationReachesThePlainOptimum([&](Acceleration acceleration) {
    options.acceleration = acceleration;
    return Fit(data_, options);
  }));
}

// Weights of rows and sequences, missing cells, labels, constraints, priors and a left-right
// pattern together.
TEST_P(HmmLaws, HoldWithEverythingSwitchedOnAtOnce) {
  ChainData cut = data_;
  for (int64_t s = 0; s < data_.num_sequences(); ++s) {
    cut.weights.push_back(0.5 + static_cast<double>(s % 3));
  }
  const std::shared_ptr<const Sequences> sequences = cut.Cut();
  // States in order, as a left-right chain has them.
  const auto label = [&](int64_t row) {
    const int64_t s = sequences->Of(row);
    return std::floor(static_cast<double>(kStates * (row - sequences->first_row(s))) /
                      static_cast<double>(sequences->length(s)));
  };
  const Table table = EverythingTable(data_.rows, GetParam().missing, label, sequences);
  const Subject subject = MakeSubject(GetParam().restrained, table);
  const Model& model = *subject.model;
  const Theta theta = RandomTheta(model, table, subject.summary, 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(model, table, theta, 40));
  EXPECT_TRUE(BlocksLeaveNoTrace(model, table, theta));
  EXPECT_TRUE(ScoreIsThatOfQ(model, table, subject.summary, theta));
  // Missing cells are hidden too, so that what is maximised is not this Q.
  EXPECT_TRUE(ChainMaximizesQ(model, table, subject.summary, theta, /*closed_form=*/false));
  EXPECT_TRUE(EStepDoesNotAllocate(model, table, theta));
  FitOptions options;
  options.restarts = 2;
  options.max_iterations = 3000;
  for (const Acceleration acceleration :
       {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
    options.acceleration = acceleration;
    const auto fit = FitModel(model, table, subject.summary, options);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NE(fit->best.termination, Termination::kObjectiveDecreased) << fit->best.message;
    const std::span<const double> found(fit->theta);
    for (const FixedElements& fixed : GetParam().restrained.constraints.fixed) {
      const auto values = Layout::View(found, *model.parameters().Find(fixed.array));
      for (const int64_t element : fixed.elements) EXPECT_EQ(values[element], fixed.values[0]);
    }
    for (const TiedElements& tied : GetParam().restrained.constraints.tied) {
      const auto values = Layout::View(found, *model.parameters().Find(tied.array));
      EXPECT_EQ(values[tied.elements[0]], values[tied.elements[1]]) << tied.array;
    }
    if (GetParam().restrained.transitions != TransitionPattern::kLeftRight) continue;
    const auto transitions = Layout::View(found, *model.parameters().Find("transitions"));
    for (const int backwards : {3, 6, 7}) EXPECT_EQ(transitions[backwards], 0);
    EXPECT_EQ(transitions[8], 1) << "the last state is for good";
  }
}

TEST_P(HmmLaws, AreTheMixtureWithoutMemory) {
  const Subject mixture = MakeSubject(MixtureOptions{kStates, GetParam().emission}, data_.rows);
  EXPECT_TRUE(IsTheMixtureWithoutMemory(*subject_.model, *mixture.model, data_, theta_));
}

TEST_P(HmmLaws, SequencesStayInFloat32) {
  ChainData data = data_;
  for (int64_t s = 0; s < data_.num_sequences(); ++s) {
    data.weights.push_back(0.5 + static_cast<double>(s % 3));
  }
  const Table table = data.ToTable();
  Pool pool(1);
  Pool::Share share(pool);
  const auto narrow = NarrowToFloat32(table, SummaryOf(table), share, {});
  ASSERT_TRUE(narrow.ok()) << narrow.status();
  const Pass wide = RunBlocks(*subject_.model, table, theta_);
  const Pass pass = RunBlocks(*subject_.model, *narrow, theta_);
  EXPECT_NEAR(pass.log_likelihood, wide.log_likelihood, 1e-6 * std::abs(wide.log_likelihood));
}

// What sequences weigh has no unit, as what rows weigh has none in mixtures.
TEST_P(HmmLaws, SequenceWeightsHaveNoUnit) {
  if (GetParam().searched) GTEST_SKIP() << "parameters have fewer digits than the law compares";
  const auto fit = [this](const Data& weighted) {
    ChainData data = data_;
    if (!weighted.weights.empty()) data.weights.assign(data.lengths.size(), weighted.weights[0]);
    return Fit(data, Precise(1e-9));
  };
  EXPECT_TRUE(WeightsHaveNoUnit(fit, data_.rows, {1e-9, 1e9}));
}

INSTANTIATE_TEST_SUITE_P(Families, HmmLaws, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

TEST(HmmLawCases, CoverEveryFamilyOfSequences) {
  const std::vector<Case> cases = Cases();
  for (const FamilyInfo& family : Families()) {
    if (!HasCapability(family.name, "sequences")) continue;
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const Case& c) {
      return FamilyName(c.options) == family.name;
    })) << family.name;
  }
}

// State 0 loses 128 nats to states 1 and 2 in every row of the first half, and they cannot explain
// the second half nor be left: doubles do not hold what must be handed from block to block.
TEST(HmmBlocks, LeaveNoTraceWhereDoublesLoseStates) {
  ChainData data{
      .rows = {.num_columns = 1, .values = {}, .weights = {}}, .lengths = {}, .weights = {}};
  Random random(2, 0);
  for (int i = 0; i < 200; ++i) data.rows.values.push_back((i < 100 ? 8 : -8) + random.Normal());
  HmmOptions options = Plain(GaussianOptions{});
  options.allowed_transitions = {1, 1, 1, 0, 1, 1, 0, 1, 1};
  const Subject subject = MakeSubject(options, data.ToTable());
  const Theta theta = {0.4, 0.3, 0.3, 0.97, 0.02, 0.01, 0, 0.6, 0.4,
                       0,   0.3, 0.7, -8,   8,    8.5,  1, 1,   1.5};
  ASSERT_TRUE(subject.model->Validate(theta).ok());
  EXPECT_TRUE(BlocksLeaveNoTrace(*subject.model, subject.table, theta));
}

// Messages are then handed on row by row.
TEST(HmmBlocks, LeaveNoTraceWithTooManyStatesForTransfers) {
  HmmOptions options = Plain(PoissonOptions{});
  options.num_states = 18;
  const Subject subject = MakeSubject(options, DataFor(Counts).ToTable());
  ASSERT_EQ(subject.model->chain()->transfer_size(), 0);
  const Theta theta = RandomChainTheta(*subject.model, subject.table, subject.summary, 1);
  EXPECT_TRUE(BlocksLeaveNoTrace(*subject.model, subject.table, theta));
  EXPECT_TRUE(DrawsHaveTheirPosterior(*subject.model, subject.table, theta));
}

TEST(HmmSampling, DrawnSequencesGiveTheirParametersBack) {
  const std::vector<double> initial = {0.6, 0.3, 0.1};
  const std::vector<double> transitions = {0.85, 0.1, 0.05, 0.1, 0.7, 0.2, 0.02, 0.18, 0.8};
  const std::vector<double> means = {-3, 0, 0, 3, 3, -2};
  const std::vector<double> variances = {1, 0.5, 0.5, 1, 2, 1};
  Theta truth = initial;
  for (const auto* const part : {&transitions, &means, &variances}) {
    truth.insert(truth.end(), part->begin(), part->end());
  }
  const HmmOptions options = Plain(GaussianOptions{Covariance::kDiagonal});
  const Subject subject = MakeSubject(options, Blobs(50, 2, 3, 2, 1));
  ASSERT_EQ(subject.model->parameters().size(), static_cast<int64_t>(truth.size()));
  const ChainData data = Drawn(*subject.model, truth, std::vector<int64_t>(300, 20), 4);
  FitOptions fit_options;
  fit_options.restarts = 3;
  const auto fit = FitTable(options, data.ToTable(), fit_options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  std::vector<int> order = {0, 1, 2};  // by the first column's mean
  const auto mean = [&](int k) { return fit->theta[12 + 2 * k]; };
  std::sort(order.begin(), order.end(), [&](int a, int b) { return mean(a) < mean(b); });
  const Theta found = Relabelled(*subject.model, fit->theta, order);
  // A share of n draws has a standard error of at most 1 / (2 sqrt n): of 300 starts 0.029, of
  // 1000 steps or more 0.016.
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(found[i], truth[i], 4 * 0.029) << i;
  for (size_t i = 3; i < 12; ++i) EXPECT_NEAR(found[i], truth[i], 4 * 0.016) << i;
  for (size_t i = 12; i < 24; ++i) EXPECT_NEAR(found[i], truth[i], 0.2) << i;
}

// ------------------------------------------------------------------------------------------------
// Each law fails on a model that breaks it.

class HmmLawsCanFail : public ::testing::Test {
 protected:
  HmmLawsCanFail()
      : data_(DataFor(Real)),
        subject_(MakeSubject(Plain(GaussianOptions{}), data_.ToTable())),
        broken_(*subject_.model) {
    theta_ = RandomChainTheta(*subject_.model, subject_.table, subject_.summary, 1);
    for (int i = 0; i < 3; ++i) theta_ = OneIteration(*subject_.model, subject_.table, theta_);
  }

  // E-steps see the block as `change` leaves it.
  void See(const std::function<void(Block&)>& change) {
    broken_.e_step = [this, change](auto& prepared, const Block& block, auto& workspace,
                                    auto stats) {
      Block changed = block;
      change(changed);
      return subject_.model->EStep(prepared, changed, {}, workspace, stats);
    };
  }
  // E-steps give what `change` leaves of the statistics.
  void Count(const std::function<void(std::span<double>)>& change) {
    broken_.e_step = [this, change](auto& prepared, const Block& block, auto& workspace,
                                    auto stats) {
      const double log_likelihood = subject_.model->EStep(prepared, block, {}, workspace, stats);
      change(stats);
      return log_likelihood;
    };
  }

  const ChainData data_;
  const Subject subject_;
  Broken broken_;
  Theta theta_;
};

TEST_F(HmmLawsCanFail, BlocksThatDoNotHearTheirNeighbours) {
  See([](Block& block) { block.before = nullptr; });
  EXPECT_FALSE(BlocksLeaveNoTrace(broken_, subject_.table, theta_));
  See([](Block& block) { block.behind = nullptr; });
  EXPECT_FALSE(BlocksLeaveNoTrace(broken_, subject_.table, theta_));
}

TEST_F(HmmLawsCanFail, DrawsThatDoNotHearTheirNeighbours) {
  broken_.assigned_e_step = [this](auto& prepared, const Block& block, auto& assignment,
                                   auto& workspace, auto stats) {
    Block deaf = block;
    if (assignment.kind == Assignment::Kind::kSampled) deaf.before = deaf.behind = nullptr;
    return subject_.model->EStep(prepared, deaf, assignment, workspace, stats);
  };
  EXPECT_FALSE(DrawsHaveTheirPosterior(broken_, subject_.table, theta_));
}

TEST_F(HmmLawsCanFail, SequencesThatRunIntoEachOther) {
  std::vector<unsigned char> begins(static_cast<size_t>(subject_.table.num_rows()));
  begins[0] = 1;
  See([&](Block& block) { block.begins = begins.data(); });
  EXPECT_FALSE(SequencesAddUp(broken_, data_, theta_));
}

TEST_F(HmmLawsCanFail, SequenceWeightsThatAreIgnored) {
  See([](Block& block) { block.sequence_weights = nullptr; });
  EXPECT_FALSE(SequenceWeightsAreMultiplicities(broken_, data_, theta_));
}

TEST_F(HmmLawsCanFail, PathsWithoutRowWeights) {
  ChainData data = data_.Picked({1, 5});
  data.rows.values.resize(static_cast<size_t>(7 * 5));
  data.lengths = {2, 5};
  data.rows.weights = {1, 2, 0.5, 1, 1, 0, 1};
  const Table table = data.ToTable();
  EXPECT_TRUE(AgreesWithAllPaths(*subject_.model, table, theta_));
  const Scratch ones(PaddedRows(7));
  std::fill_n(ones.data(), 7, 1.0);
  See([&](Block& block) { block.weights = ones.data(); });
  EXPECT_FALSE(AgreesWithAllPaths(broken_, table, theta_));
}

TEST_F(HmmLawsCanFail, TransitionsThatAreNotMaximised) {
  broken_.after_m_step = [](auto, std::span<double> next) {
    for (int j = 0; j < kStates; ++j) next[kStates + j] = 0.99 * next[kStates + j] + 0.01 / kStates;
  };
  EXPECT_FALSE(
      ChainMaximizesQ(broken_, subject_.table, subject_.summary, theta_, /*closed_form=*/true));
  broken_.after_m_step = [this](auto, std::span<double> next) {
    std::copy_n(theta_.begin(), kStates, next.begin());
  };
  EXPECT_FALSE(
      ChainMaximizesQ(broken_, subject_.table, subject_.summary, theta_, /*closed_form=*/true));
}

TEST_F(HmmLawsCanFail, MaximisationsThatLowerQ) {
  broken_.after_m_step = [](auto, std::span<double> next) {
    std::fill_n(next.begin() + kStates, kStates * kStates, 1.0 / kStates);
  };
  EXPECT_FALSE(
      ChainMaximizesQ(broken_, subject_.table, subject_.summary, theta_, /*closed_form=*/false));
}

TEST_F(HmmLawsCanFail, ScoresOfTransitionsCountedTwice) {
  Count([](std::span<double> stats) { stats[2 * kStates] *= 2; });
  EXPECT_FALSE(ScoreIsThatOfQ(broken_, subject_.table, subject_.summary, theta_));
}

TEST_F(HmmLawsCanFail, RelabellingMattersWhenOneTransitionIsFavoured) {
  Count([](std::span<double> stats) { stats[2 * kStates + 1] += 0.01; });
  EXPECT_FALSE(RelabellingRelabelsStates(broken_, subject_.table, theta_));
}

TEST_F(HmmLawsCanFail, TruthIsNotBeatenByALyingObjective) {
  double lie = 0;
  broken_.e_step = [&](auto& prepared, auto& block, auto& workspace, auto stats) {
    subject_.model->EStep(prepared, block, {}, workspace, stats);
    return lie += 1;
  };
  broken_.after_m_step = [this](auto, std::span<double> next) {
    for (double& mean : Layout::View(next, *subject_.model->parameters().Find("means"))) mean += 1;
  };
  EXPECT_FALSE(TruthOfAChainIsBeaten(broken_, theta_));
}

TEST_F(HmmLawsCanFail, ChainsThatRememberAreNoMixture) {
  const Subject mixture = MakeSubject(MixtureOptions{kStates, GaussianOptions{}}, data_.rows);
  See([&](Block& block) { block.begins = nullptr; });  // one sequence of all rows
  EXPECT_FALSE(IsTheMixtureWithoutMemory(broken_, *mixture.model, data_, theta_));
}

TEST_F(HmmLawsCanFail, ObjectiveDecreasesWhenTransitionsAreOff) {
  broken_.after_m_step = [](auto, std::span<double> next) {
    for (int j = 0; j < kStates; ++j) next[kStates + j] = 0.9 * next[kStates + j] + 0.1 / kStates;
  };
  EXPECT_FALSE(ObjectiveNeverDecreases(broken_, subject_.table, theta_, 60));
}

TEST_F(HmmLawsCanFail, AllocationsOfMessagesAreSeen) {
  // Where a block continues a sequence, so only in tables of several blocks.
  broken_.e_step = [this](auto& prepared, const Block& block, auto& workspace, auto stats) {
    std::vector<double> temporary;
    if (block.before != nullptr) temporary.resize(block.num_rows);
    return subject_.model->EStep(prepared, block, {}, workspace, stats) +
           (temporary.empty() ? 0 : temporary.back());
  };
  EXPECT_FALSE(EStepDoesNotAllocate(broken_, ManyRows(Real).ToTable(), theta_));
}

}  // namespace
}  // namespace emserve::testing
