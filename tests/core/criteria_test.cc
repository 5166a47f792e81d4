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
  EXPECT_DOUBLE_EQ(*criteria->aic, 25 + 10);
  EXPECT_DOUBLE_EQ(*criteria->bic, 25 + 5 * std::log(7));
  const double sure = -std::log1p(std::exp(-2));
  EXPECT_NEAR(*criteria->icl, *criteria->bic - 2 * (6 * sure + std::log(0.5)), 1e-12);
  // Rows of 0 and 2 have the entropy of (p, 1 - p), the row of 1 that of a coin.
  const double p = std::exp(sure);
  const double entropy = 6 * -(p * std::log(p) + (1 - p) * std::log1p(-p)) + std::log(2);
  EXPECT_NEAR(*criteria->entropy, entropy, 1e-12);
  EXPECT_NEAR(*criteria->relative_entropy, 1 - entropy / (7 * std::log(2)), 1e-12);
  // The row of 1 is equally probable: the first component has it.
  ASSERT_EQ(criteria->separation.size(), 2u);
  EXPECT_NEAR(criteria->separation[0], (2 * p + 0.5) / 3, 1e-12);
  EXPECT_NEAR(criteria->separation[1], p, 1e-12);
}

TEST(Criteria, ComponentsThatAreApartHaveNoEntropyAndThoseThatAreOneHaveAll) {
  const Data data{.num_columns = 1, .values = {0, 1, 1000, 1001}, .weights = {}};
  const Subject subject =
      MakeSubject(MixtureOptions{2, GaussianOptions{Covariance::kSpherical}}, data);
  Pool pool(1);
  Pool::Share share(pool);
  const auto of = [&](const Theta& theta) {
    return ComputeCriteria(*subject.model, subject.table, theta, -1, 4, share, {}).value();
  };
  const Criteria apart = of({0.5, 0.5, 0.5, 1000.5, 1, 1});
  EXPECT_EQ(*apart.entropy, 0);
  EXPECT_EQ(*apart.relative_entropy, 1);
  EXPECT_EQ(apart.separation, (std::vector<double>{1, 1}));
  const Criteria alike = of({0.5, 0.5, 500, 500, 1e6, 1e6});
  EXPECT_NEAR(*alike.entropy, 4 * std::log(2), 1e-12);
  EXPECT_NEAR(*alike.relative_entropy, 0, 1e-12);
  EXPECT_NEAR(alike.separation[0], 0.5, 1e-12);
  EXPECT_EQ(alike.separation[1], 0);  // no row is assigned to it
}

TEST(Criteria, OneComponentHasNoClassificationTerm) {
  const Subject subject = MakeSubject(MixtureOptions{1, GaussianOptions{}}, Faithful());
  Pool pool(1);
  Pool::Share share(pool);
  const auto fit = FitData(MixtureOptions{1, GaussianOptions{}}, Faithful(), {});
  const auto criteria = ComputeCriteria(*subject.model, subject.table, fit->theta,
                                        fit->log_likelihood, 272, share, {});
  ASSERT_TRUE(criteria.ok());
  EXPECT_EQ(*criteria->icl, *criteria->bic);
  EXPECT_EQ(*criteria->entropy, 0);
  EXPECT_EQ(*criteria->relative_entropy, 1);
  EXPECT_EQ(criteria->separation, std::vector<double>{1});
  EXPECT_NEAR(*criteria->bic, 2607.622500, 1e-5);
}

TEST(Criteria, DoNotDependOnThreads) {
  const Subject subject =
      MakeSubject(MixtureOptions{3, GaussianOptions{}}, Blobs(30011, 2, 3, 1, 4));
  const Theta theta = RandomTheta(*subject.model, subject.table, subject.summary, 1);
  std::vector<double> icl;
  std::vector<double> entropy;
  for (const int threads : {1, 2, 7}) {
    Pool pool(threads);
    Pool::Share share(pool);
    const auto criteria =
        ComputeCriteria(*subject.model, subject.table, theta, -1, 30011, share, {});
    icl.push_back(*criteria->icl);
    entropy.push_back(*criteria->entropy);
  }
  EXPECT_EQ(entropy[1], entropy[0]);
  EXPECT_EQ(entropy[2], entropy[0]);
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
