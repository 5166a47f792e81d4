#include "core/select/criteria.h"

#include <cmath>
#include <vector>

#include "core/families.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

TEST(Criteria, FollowTheirFormulas) {
  // Two components at 0 and 2 with variance 1; by hand the posterior of x = 0 is 1 / (1 + e^-2).
  const Data data{.num_columns = 1, .values = {0, 1, 2}, .weights = {2, 1, 4}};
  const Subject subject =
      MakeSubject(MixtureOptions{2, GaussianOptions{Covariance::kSpherical}}, data);
  const Theta theta = {0.5, 0.5, 0, 2, 1, 1};
  Pool pool(1);
  Pool::Share share(pool);
  const auto criteria = ComputeCriteria(*subject.model, subject.table, theta, -12.5, 7, share, {});
  ASSERT_TRUE(criteria.ok()) << criteria.status();
  EXPECT_EQ(criteria->degrees_of_freedom, 5);
  EXPECT_EQ(criteria->num_observations, 7);
  EXPECT_DOUBLE_EQ(criteria->aic, 25 + 10);
  EXPECT_DOUBLE_EQ(criteria->bic, 25 + 5 * std::log(7));
  const double sure = -std::log1p(std::exp(-2));
  EXPECT_NEAR(criteria->icl, criteria->bic - 2 * (6 * sure + std::log(0.5)), 1e-12);
}

TEST(Criteria, OneComponentHasNoClassificationTerm) {
  const Subject subject = MakeSubject(MixtureOptions{1, GaussianOptions{}}, Faithful());
  Pool pool(1);
  Pool::Share share(pool);
  const auto fit = FitData(MixtureOptions{1, GaussianOptions{}}, Faithful(), {});
  const auto criteria = ComputeCriteria(*subject.model, subject.table, fit->theta,
                                        fit->log_likelihood, 272, share, {});
  ASSERT_TRUE(criteria.ok());
  EXPECT_EQ(criteria->icl, criteria->bic);
  EXPECT_NEAR(criteria->bic, 2607.622500, 1e-5);
}

TEST(Criteria, DoNotDependOnThreads) {
  const Subject subject =
      MakeSubject(MixtureOptions{3, GaussianOptions{}}, Blobs(30011, 2, 3, 1, 4));
  const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  std::vector<double> icl;
  for (const int threads : {1, 2, 7}) {
    Pool pool(threads);
    Pool::Share share(pool);
    icl.push_back(ComputeCriteria(*subject.model, subject.table, theta, -1, 30011, share, {})->icl);
  }
  EXPECT_EQ(icl[1], icl[0]);
  EXPECT_EQ(icl[2], icl[0]);
}

TEST(Criteria, CanBeCancelled) {
  const Subject subject = MakeSubject(MixtureOptions{1, GaussianOptions{}}, Faithful());
  const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  Pool pool(1);
  Pool::Share share(pool);
  std::stop_source source;
  source.request_stop();
  EXPECT_TRUE(absl::IsCancelled(
      ComputeCriteria(*subject.model, subject.table, theta, -1, 272, share, source.get_token())
          .status()));
}

}  // namespace
}  // namespace emserve::testing
