// Every family under every law, and every law against a model that breaks it.
#include "tests/core/laws.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/core/broken_model.h"
#include "tests/core/law_cases.h"

namespace emserve::testing {
namespace {

struct Case {
  std::string name;
  ModelOptions options;
  int num_columns;
  Shape shape = Real;
  bool equivariant = false;  // under shifts and scales of the columns
  bool has_density = true;   // can be sampled from
  bool closed_form = true;   // the maximisation is the maximum of Q
  // The same with a prior and constraints; none: nothing more to switch on than the rest.
  std::optional<ModelOptions> restrained = std::nullopt;
  bool missing = true;  // cells may be missing
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

// Sizes that fill neither vectors nor tiles, and one row more than a block of any size would take.
constexpr int64_t kNumRows = 517;

// One entry per family and option that changes the arithmetic.
std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const CovarianceInfo& info : CovarianceStructures()) {
    for (const auto& [num_components, num_columns] : {std::pair(2, 1), {3, 5}, {7, 18}}) {
      const bool shared_parts = static_cast<size_t>(info.covariance) > 5;
      if (shared_parts && num_columns != 5) continue;
      cases.push_back({.name = absl::StrCat("gaussian_mixture_", std::string(info.name), "_",
                                            num_components, "x", num_columns),
                       .options = MixtureOptions{num_components, GaussianOptions{info.covariance}},
                       .num_columns = num_columns,
                       .equivariant = true,
                       .closed_form = !shared_parts});
    }
  }
  for (const EmissionCase& emission : EmissionCases()) {
    MixtureOptions restrained{3, emission.with_prior};
    restrained.weight_concentration = 1.5;
    restrained.constraints.fixed.push_back(emission.fixed);
    restrained.constraints.tied.push_back({"weights", {0, 2}});
    cases.push_back({.name = emission.Name("mixture"),
                     .options = MixtureOptions{3, emission.options},
                     .num_columns = 5,
                     .shape = emission.shape,
                     .closed_form = emission.closed_form,
                     .restrained = restrained,
                     .missing = emission.missing()});
  }
  for (const bool spherical : {false, true}) {
    for (const auto& [num_components, num_columns] : {std::pair(2, 2), {3, 5}}) {
      cases.push_back({.name = absl::StrCat(spherical ? "spherical_" : "", "kmeans_",
                                            num_components, "x", num_columns),
                       .options = KMeansOptions{num_components, spherical},
                       .num_columns = num_columns,
                       .has_density = false,
                       .closed_form = !spherical});
    }
  }
  return cases;
}

Data DataFor(const Case& c, int64_t num_rows = kNumRows) {
  Data data = Blobs(num_rows, c.num_columns, NumComponents(c.options), 1.5, 17);
  Reshape(c.shape, data);
  return data;
}

class Laws : public ::testing::TestWithParam<Case> {
 protected:
  Laws() : data_(DataFor(GetParam())), subject_(MakeSubject(GetParam().options, data_)) {
    theta_ = RandomTheta(*subject_.model, subject_.table, subject_.summary, 1);
    // Away from the symmetric start, where some mistakes would not show.
    for (int i = 0; i < 3; ++i) theta_ = OneIteration(*subject_.model, subject_.table, theta_);
  }

  absl::StatusOr<FitResult> Fit(const Data& data, double relative_tolerance = 1e-12) const {
    FitOptions options;
    options.restarts = 2;
    options.relative_tolerance = relative_tolerance;
    options.max_iterations = 20000;
    return FitData(GetParam().options, data, options);
  }

  const Data data_;
  const Subject subject_;
  Theta theta_;
};

TEST_P(Laws, ObjectiveNeverDecreases) {
  EXPECT_TRUE(ObjectiveNeverDecreases(*subject_.model, subject_.table, theta_, 60));
}

TEST_P(Laws, StatisticsAddUpOverAnyCut) {
  EXPECT_TRUE(StatisticsAddUp(*subject_.model, subject_.table, theta_));
}

TEST_P(Laws, MaximizationMaximizesQ) {
  if (!GetParam().closed_form) {
    EXPECT_TRUE(MaximizationRaisesQ(*subject_.model, subject_.table, theta_));
    return;
  }
  EXPECT_TRUE(MaximizationMaximizesQ(*subject_.model, subject_.table, subject_.summary, theta_));
}

TEST_P(Laws, MaximizationMaximizesQWithWeights) {
  Data weighted = data_;
  for (int64_t i = 0; i < data_.num_rows(); ++i) {
    weighted.weights.push_back(0.25 * static_cast<double>(i % 9));
  }
  const Subject subject = MakeSubject(GetParam().options, weighted);
  if (!GetParam().closed_form) {
    EXPECT_TRUE(MaximizationRaisesQ(*subject.model, subject.table, theta_));
    return;
  }
  EXPECT_TRUE(MaximizationMaximizesQ(*subject.model, subject.table, subject.summary, theta_));
}

TEST_P(Laws, WeightsAreMultiplicities) {
  EXPECT_TRUE(WeightsAreMultiplicities(*subject_.model, data_, theta_));
}

TEST_P(Laws, RelabellingTheStartRelabelsTheResult) {
  EXPECT_TRUE(RelabellingRelabels(*subject_.model, subject_.table, theta_));
}

TEST_P(Laws, FitFromTheTruthBeatsTheTruth) {
  if (!GetParam().has_density) GTEST_SKIP() << "nothing to draw from";
  EXPECT_TRUE(TruthIsBeaten(*subject_.model, theta_, 900));
}

TEST_P(Laws, ConvergedFitIsAFixedPoint) {
  const auto fit = Fit(data_, 1e-15);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  EXPECT_TRUE(ConvergedIsFixedPoint(*subject_.model, subject_.table, fit->theta));
}

TEST_P(Laws, ThreadsDoNotChangeBits) {
  // Enough rows for several lanes; with two threads lanes run in parallel, with seven restarts do.
  const Subject subject = MakeSubject(GetParam().options, DataFor(GetParam(), 20011));
  EXPECT_TRUE(ThreadsDoNotChangeBits(*subject.model, subject.table, subject.summary));
}

TEST_P(Laws, EStepDoesNotAllocate) {
  EXPECT_TRUE(EStepDoesNotAllocate(*subject_.model, subject_.table, theta_));
}

TEST_P(Laws, NonFiniteRowsAreRejectedByIndex) {
  EXPECT_TRUE(NonFiniteRowsAreRejected([this](const Data& data) { return Fit(data); }, data_));
}

TEST_P(Laws, FitIsEquivariantUnderShiftsAndScales) {
  if (!GetParam().equivariant) GTEST_SKIP() << "not a law of this family";
  const auto fit = [this](const Data& data) { return Fit(data); };
  const size_t columns = static_cast<size_t>(GetParam().num_columns);
  for (const double scale : {1e-8, 3.0, 1e8}) {
    EXPECT_TRUE(
        FitIsEquivariant(fit, data_, std::vector(columns, scale), std::vector(columns, 0.0)));
  }
  EXPECT_TRUE(FitIsEquivariant(fit, data_, std::vector(columns, 1.0), std::vector(columns, 1e8)));
}

TEST_P(Laws, ExpectedStatisticsGiveTheParametersBack) {
  if (!GetParam().has_density) GTEST_SKIP() << "nothing is expected of centres alone";
  EXPECT_TRUE(ComeBack(theta_, OfExpectedStatistics(*subject_.model, theta_), 1e-6));
}

TEST_P(Laws, CoordinatesGoThereAndBack) {
  EXPECT_TRUE(emserve::testing::CoordinatesGoThereAndBack(*subject_.model, theta_));
}

TEST_P(Laws, AccelerationReachesThePlainOptimum) {
  FitOptions options;
  options.restarts = 1;
  options.relative_tolerance = 1e-12;
  options.max_iterations = 5000;
  EXPECT_TRUE(AccelerationReachesThePlainOptimum([&](Acceleration acceleration) {
    options.acceleration = acceleration;
    return FitData(GetParam().options, data_, options);
  }));
}

// Weights, missing cells, labels, constraints and priors together.
TEST_P(Laws, HoldWithEverythingSwitchedOnAtOnce) {
  if (!GetParam().restrained) GTEST_SKIP() << "nothing more to switch on";
  const Table table = EverythingTable(data_, GetParam().missing,
                                      [](int64_t row) { return static_cast<double>(row % 3); });
  const Summary summary = SummaryOf(table);
  const auto model = MakeModel(*GetParam().restrained, summary, table.names());
  ASSERT_TRUE(model.ok()) << model.status();
  Theta theta = RandomTheta(**model, table, summary, 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(**model, table, theta, 40));
  EXPECT_TRUE(StatisticsAddUp(**model, table, theta));
  EXPECT_TRUE(EStepDoesNotAllocate(**model, table, theta));
  EXPECT_TRUE(ThreadsDoNotChangeBits(**model, table, summary));
  EXPECT_EQ(theta[0], theta[2]) << "tied weights";
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  FitOptions options;
  options.restarts = 2;
  options.max_iterations = 3000;
  for (const Acceleration acceleration :
       {Acceleration::kNone, Acceleration::kSquarem, Acceleration::kAnderson}) {
    options.acceleration = acceleration;
    const auto fit = emserve::Fit(**model, table, summary, options, run);
    ASSERT_TRUE(fit.ok()) << fit.status();
    EXPECT_NE(fit->best.termination, Termination::kObjectiveDecreased) << fit->best.message;
    const FixedElements& fixed =
        std::get<MixtureOptions>(*GetParam().restrained).constraints.fixed[0];
    const auto values = Layout::View(std::span<const double>(fit->theta),
                                     *(*model)->parameters().Find(fixed.array));
    for (const int64_t element : fixed.elements) EXPECT_EQ(values[element], fixed.values[0]);
    EXPECT_EQ(fit->theta[0], fit->theta[2]);
  }
}

TEST_P(Laws, WeightsHaveNoUnit) {
  const auto fit = [this](const Data& data) { return Fit(data, 1e-9); };
  EXPECT_TRUE(WeightsHaveNoUnit(fit, data_, {1e-9, 1e9}));
}

INSTANTIATE_TEST_SUITE_P(Families, Laws, ::testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param.name; });

TEST(LawCases, CoverEveryFamily) {
  const std::vector<Case> cases = Cases();
  for (const FamilyInfo& family : Families()) {
    if (HasCapability(family.name, "sequences")) continue;  // hmm_laws_test.cc
    EXPECT_TRUE(std::any_of(cases.begin(), cases.end(), [&](const Case& c) {
      return FamilyName(c.options) == family.name;
    })) << family.name;
  }
}

// ------------------------------------------------------------------------------------------------
// Each law fails on a model that breaks it.

class LawsCanFail : public ::testing::Test {
 protected:
  LawsCanFail()
      : options_(MixtureOptions{3, GaussianOptions{}}),
        data_(Blobs(kNumRows, 5, 3, 1.5, 17)),
        subject_(MakeSubject(options_, data_)),
        broken_(*subject_.model) {
    theta_ = RandomTheta(*subject_.model, subject_.table, subject_.summary, 1);
    for (int i = 0; i < 3; ++i) theta_ = OneIteration(*subject_.model, subject_.table, theta_);
  }

  // The means of the model's parameters.
  std::span<double> Means(std::span<double> theta) const {
    return Layout::View(theta, *subject_.model->parameters().Find("means"));
  }
  double SoundEStep(const Model::Prepared& prepared, const Block& block,
                    Model::Workspace& workspace, std::span<double> stats) const {
    return subject_.model->EStep(prepared, block, {}, workspace, stats);
  }

  const ModelOptions options_;
  const Data data_;
  const Subject subject_;
  Broken broken_;
  Theta theta_;
};

TEST_F(LawsCanFail, ObjectiveDecreasesWhenMeansAreOff) {
  broken_.after_m_step = [this](auto, std::span<double> next) { Means(next)[0] += 0.05; };
  EXPECT_FALSE(ObjectiveNeverDecreases(broken_, subject_.table, theta_, 60));
}

TEST_F(LawsCanFail, StatisticsDoNotAddUpWithAConstantPerBlock) {
  broken_.e_step = [this](auto& prepared, auto& block, auto& workspace, auto stats) {
    stats[0] += 1e-3;
    return SoundEStep(prepared, block, workspace, stats);
  };
  EXPECT_FALSE(StatisticsAddUp(broken_, subject_.table, theta_));
}

TEST_F(LawsCanFail, LogLikelihoodDoesNotAddUpWithAConstantPerBlock) {
  broken_.e_step = [this](auto& prepared, auto& block, auto& workspace, auto stats) {
    return SoundEStep(prepared, block, workspace, stats) + 1e-6;
  };
  EXPECT_FALSE(StatisticsAddUp(broken_, subject_.table, theta_));
}

TEST_F(LawsCanFail, QIsNotMaximalWithUnbiasedCovariances) {
  broken_.after_m_step = [this](auto, std::span<double> next) {
    const ArraySpec* const covariances = subject_.model->parameters().Find("covariances");
    for (double& value : Layout::View(next, *covariances)) value *= kNumRows / (kNumRows - 1.0);
  };
  EXPECT_FALSE(MaximizationMaximizesQ(broken_, subject_.table, subject_.summary, theta_));
}

TEST_F(LawsCanFail, QIsNotMaximalWithOldMeans) {
  broken_.after_m_step = [this](std::span<const double> theta, std::span<double> next) {
    const ArraySpec* const means = subject_.model->parameters().Find("means");
    const auto old = Layout::View(theta, *means);
    std::copy(old.begin(), old.end(), Means(next).begin());
  };
  EXPECT_FALSE(MaximizationMaximizesQ(broken_, subject_.table, subject_.summary, theta_));
}

TEST_F(LawsCanFail, WeightsThatAreIgnored) {
  broken_.e_step = [this](auto& prepared, const Block& block, auto& workspace, auto stats) {
    BlockBuffer buffer(block.num_rows, 1);
    std::fill_n(buffer.weights(), block.stride, 0.0);
    std::fill_n(buffer.weights(), block.num_rows, 1.0);
    Block unweighted = block;
    unweighted.weights = buffer.weights();
    return SoundEStep(prepared, unweighted, workspace, stats);
  };
  EXPECT_FALSE(WeightsAreMultiplicities(broken_, data_, theta_));
}

TEST_F(LawsCanFail, RelabellingMattersWhenOneComponentIsFavoured) {
  broken_.e_step = [this](auto& prepared, auto& block, auto& workspace, auto stats) {
    const double log_likelihood = SoundEStep(prepared, block, workspace, stats);
    stats[0] *= 1.01;  // occupancy of component 0
    return log_likelihood;
  };
  EXPECT_FALSE(RelabellingRelabels(broken_, subject_.table, theta_));
}

TEST_F(LawsCanFail, TruthIsNotBeatenByALyingObjective) {
  double lie = 0;
  broken_.e_step = [&](auto& prepared, auto& block, auto& workspace, auto stats) {
    SoundEStep(prepared, block, workspace, stats);
    return lie += 1;
  };
  broken_.after_m_step = [this](auto, std::span<double> next) {
    for (double& mean : Means(next)) mean += 1;
  };
  EXPECT_FALSE(TruthIsBeaten(broken_, theta_, 900));
}

TEST_F(LawsCanFail, NoFixedPointWhenParametersDrift) {
  FitOptions options;
  options.relative_tolerance = 1e-15;
  const auto fit = FitData(options_, data_, options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_TRUE(ConvergedIsFixedPoint(*subject_.model, subject_.table, fit->theta));
  broken_.after_m_step = [this](auto, std::span<double> next) { Means(next)[0] *= 1.001; };
  EXPECT_FALSE(ConvergedIsFixedPoint(broken_, subject_.table, fit->theta));
}

TEST_F(LawsCanFail, CoordinatesThatComeBackElsewhere) {
  broken_.after_from_unconstrained = [this](std::span<double> theta) { Means(theta)[0] += 1e-6; };
  EXPECT_FALSE(emserve::testing::CoordinatesGoThereAndBack(broken_, theta_));
}

TEST_F(LawsCanFail, AccelerationThatStopsShortOfTheOptimum) {
  FitOptions options;
  options.restarts = 1;
  const auto stopping = [&](Acceleration wrong, bool falls) {
    return AccelerationReachesThePlainOptimum([&](Acceleration acceleration) {
      absl::StatusOr<FitResult> fit = FitData(options_, data_, options);
      if (fit.ok() && acceleration == wrong && falls) {
        fit->best.termination = Termination::kObjectiveDecreased;
      } else if (fit.ok() && acceleration == wrong) {
        fit->objective -= 0.02 * std::abs(fit->objective);
      }
      return fit;
    });
  };
  EXPECT_TRUE(stopping(Acceleration::kNone, /*falls=*/true));
  for (const Acceleration wrong : {Acceleration::kSquarem, Acceleration::kAnderson}) {
    EXPECT_FALSE(stopping(wrong, /*falls=*/true));
    EXPECT_FALSE(stopping(wrong, /*falls=*/false));
  }
}

TEST_F(LawsCanFail, BitsChangeWithTheOrderOfCalls) {
  const Subject large = MakeSubject(options_, Blobs(20011, 5, 3, 1.5, 17));
  std::atomic<int> calls = 0;
  Broken broken(*large.model);
  broken.e_step = [&](auto& prepared, auto& block, auto& workspace, auto stats) {
    const double log_likelihood = large.model->EStep(prepared, block, {}, workspace, stats);
    stats[0] *= 1 + 1e-9 * (calls++ % 1009);
    return log_likelihood;
  };
  EXPECT_FALSE(ThreadsDoNotChangeBits(broken, large.table, large.summary));
}

TEST_F(LawsCanFail, AllocationsAreSeen) {
  broken_.e_step = [this](auto& prepared, auto& block, auto& workspace, auto stats) {
    const auto temporary = std::make_unique<std::vector<double>>(block.num_rows);
    return SoundEStep(prepared, block, workspace, stats) + temporary->back();
  };
  EXPECT_FALSE(EStepDoesNotAllocate(broken_, subject_.table, theta_));
}

TEST_F(LawsCanFail, NonFiniteRowsThatAreSkipped) {
  const auto skipping = [this](const Data& data) {
    Data clean = data;
    for (double& value : clean.values) value = std::isfinite(value) ? value : 0;
    return FitData(options_, clean, {});
  };
  EXPECT_FALSE(NonFiniteRowsAreRejected(skipping, data_));
  const auto nameless = [](const Data&) {
    return absl::StatusOr<FitResult>(absl::InvalidArgumentError("there is a NaN somewhere"));
  };
  EXPECT_FALSE(NonFiniteRowsAreRejected(nameless, data_));
}

TEST_F(LawsCanFail, AnAbsoluteToleranceGivesWeightsAUnit) {
  const auto absolute = [this](const Data& data) {
    FitOptions options;
    options.restarts = 2;
    options.relative_tolerance = 0;
    options.absolute_tolerance = 1e-3;
    return FitData(options_, data, options);
  };
  EXPECT_FALSE(WeightsHaveNoUnit(absolute, data_, {1e-9}));
  EXPECT_FALSE(WeightsHaveNoUnit(absolute, data_, {1e9}));
}

// The rounding of a floored model is forgiven; a mistake is not.
TEST_F(LawsCanFail, ADecreaseIsFoundWithAVarianceAtItsFloor) {
  Data collinear{.num_columns = 5, .values = {}, .weights = {}};
  for (int64_t i = 0; i < data_.num_rows(); ++i) {
    const double* const row = data_.values.data() + i * 5;
    collinear.values.insert(collinear.values.end(), row, row + 4);
    collinear.values.push_back(row[0] - 2 * row[1]);
  }
  const auto fit = [&](double mistake) {
    const Subject subject = MakeSubject(options_, collinear);
    Broken broken(*subject.model);
    // The first component is drawn to the middle a little, in all columns alike.
    broken.after_m_step = [&](auto, std::span<double> next) {
      const std::span<double> means = Means(next);
      for (size_t c = 0; c < 5; ++c) {
        means[c] += mistake * (subject.summary.mean[c] - means[c]);
      }
    };
    Pool pool(1);
    Pool::Share share(pool);
    RunOptions run;
    run.share = &share;
    FitOptions options;
    options.restarts = 1;
    options.relative_tolerance = 1e-12;
    return Fit(broken, subject.table, subject.summary, options, run);
  };
  const auto sound = fit(0);
  ASSERT_TRUE(sound.ok()) << sound.status();
  EXPECT_EQ(sound->best.termination, Termination::kDegenerate) << sound->best.message;
  const auto wrong = fit(0.01);
  ASSERT_TRUE(wrong.ok()) << wrong.status();
  EXPECT_EQ(wrong->best.termination, Termination::kObjectiveDecreased) << wrong->best.message;
}

TEST_F(LawsCanFail, AnAbsoluteRidgeIsNotEquivariant) {
  // A fit whose variances are all raised by 1e-3 squared data units.
  const auto ridged = [this](const Data& data) -> absl::StatusOr<FitResult> {
    const Subject subject = MakeSubject(options_, data);
    Broken broken(*subject.model);
    broken.after_m_step = [&](auto, std::span<double> next) {
      const auto covariances = Layout::View(next, *subject.model->parameters().Find("covariances"));
      for (size_t i = 0; i < covariances.size(); ++i) {
        if (i % 25 % 6 == 0) covariances[i] += 1e-3;
      }
    };
    Pool pool(1);
    Pool::Share share(pool);
    RunOptions run;
    run.share = &share;
    FitOptions options;
    options.restarts = 2;
    return Fit(broken, subject.table, subject.summary, options, run);
  };
  EXPECT_FALSE(FitIsEquivariant(ridged, data_, std::vector(5, 0.05), std::vector(5, 0.0)));
}

}  // namespace
}  // namespace emserve::testing
