// Models with a past: what it counts for, and that old model and new data are nearly all data.
#include "core/em/update.h"

#include <cmath>

#include "core/em/fit.h"
#include "core/families.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

MixtureOptions Gaussians(int num_components, Covariance covariance = Covariance::kFull) {
  return MixtureOptions{num_components, GaussianOptions{covariance}};
}

TEST(Updates, AComponentWithoutWeightHasNoPast) {
  const Data data = Blobs(60, 1, 1, 1, 3);
  const Table table = data.ToTable();
  const Summary summary = SummaryOf(table);
  const Theta past = {0.5, 0.5, 0, 9, 1, 1};
  const auto model =
      WithPast(MakeModel(Gaussians(2, Covariance::kSpherical), summary, table.names()).value(),
               past, {.num_observations = 100});
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.given = {1, 0, 0, 9, 1, 1};
  options.restarts = 1;
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  const auto fit = Fit(*model, table, summary, options, run);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_TRUE(std::isfinite(fit->objective));
  EXPECT_EQ(fit->best.termination, Termination::kConverged) << fit->best.message;
  EXPECT_EQ(fit->theta[0], 1);
  // Its fifty rows of the past count, the other's do not.
  EXPECT_NEAR(fit->theta[2], 60 * summary.mean[0] / 110, 1e-6);
}

TEST(Updates, OldModelAndNewDataGiveNearlyTheFitToBoth) {
  const Data all = Blobs(4000, 3, 3, 6, 30);
  Data old_data = all, new_data = all;
  old_data.values.resize(3000 * 3);
  new_data.values.erase(new_data.values.begin(), new_data.values.begin() + 3000 * 3);
  FitOptions options;
  const auto both = FitData(Gaussians(3), all, options);
  const auto old_fit = FitData(Gaussians(3), old_data, options);
  ASSERT_TRUE(both.ok() && old_fit.ok());
  const Table table = new_data.ToTable();
  const Summary summary = SummaryOf(table);
  const auto model = WithPast(MakeModel(Gaussians(3), summary, table.names()).value(),
                              old_fit->theta, {.num_observations = 3000});
  options.start = StartMethod::kGiven;
  options.given = old_fit->theta;
  options.restarts = 1;
  Pool pool(1);
  Pool::Share share(pool);
  RunOptions run;
  run.share = &share;
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, old_fit->theta, 20));
  const auto updated = Fit(*model, table, summary, options, run);
  ASSERT_TRUE(updated.ok()) << updated.status();
  const Subject whole = MakeSubject(Gaussians(3), all);
  const double reached = LogLikelihood(*whole.model, whole.table, updated->theta);
  EXPECT_GT(reached, both->objective - 0.5);
  EXPECT_GT(reached, LogLikelihood(*whole.model, whole.table, old_fit->theta));
}

TEST(Updates, ExpectedStatisticsGiveTheParametersBack) {
  for (const CovarianceInfo& info : CovarianceStructures()) {
    const Subject subject = MakeSubject(Gaussians(3, info.covariance), Blobs(200, 4, 3, 2, 5));
    const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 3);
    EXPECT_TRUE(ComeBack(theta, OfExpectedStatistics(*subject.model, theta), 1e-9)) << info.name;
  }
}

}  // namespace
}  // namespace emserve::testing
