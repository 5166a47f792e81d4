// Starts: what they choose, what they refuse, and that weights and samples are respected.
#include "core/em/start.h"

#include <set>
#include <string>
#include <vector>

#include "core/families.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

// Start parameters of one restart.
absl::StatusOr<Theta> Draw(
    const Subject& subject, StartMethod method, uint64_t seed, int restart, int num_threads = 1,
    absl::FunctionRef<bool()> time_is_up = [] { return false; }) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  Expectation expectation(*subject.model, subject.table, share, {});
  const Starts starts(*subject.model, subject.table, subject.summary, method, seed);
  Theta theta(subject.model->parameters().size());
  std::vector<Repair> repairs;
  absl::Status status = starts.Draw(restart, time_is_up, expectation, theta, repairs);
  if (!status.ok()) return status;
  return theta;
}

ModelOptions Spherical(int num_components) {
  return MixtureOptions{num_components, GaussianOptions{Covariance::kSpherical}};
}

TEST(Starts, FindSeparatedClustersAtOnce) {
  // 25 clusters 20 standard deviations apart: without several candidates per seed some would be
  // missed in nearly every start.
  Random random(1, 0);
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 2500; ++i) data.values.push_back(20 * (i % 25) + random.Normal());
  const Subject subject = MakeSubject(Spherical(25), data);
  int complete = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, seed, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    std::set<int> found;
    for (int k = 0; k < 25; ++k) {
      if (std::abs((*theta)[k] - 0.04) < 1e-12) {
        found.insert(static_cast<int>(std::lround((*theta)[25 + k] / 20)));
      }
    }
    complete += found.size() == 25u;
  }
  EXPECT_GE(complete, 15);
}

TEST(Starts, DoNotDependOnUnits) {
  Data data = Faithful();
  const Subject plain = MakeSubject(Spherical(4), data);
  for (size_t i = 0; i < data.values.size(); i += 2) data.values[i] *= 1024;  // one column
  const Subject scaled = MakeSubject(Spherical(4), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const auto a = Draw(plain, method, 3, 0);
    const auto b = Draw(scaled, method, 3, 0);
    ASSERT_TRUE(a.ok() && b.ok());
    for (int k = 0; k < 4; ++k) {
      EXPECT_NEAR((*a)[k], (*b)[k], 1e-12) << "weights are shares of rows per seed";
      EXPECT_NEAR((*a)[5 + 2 * k], (*b)[5 + 2 * k], 1e-9);
    }
  }
}

TEST(Starts, DifferByRestartAndSeedAndRepeat) {
  const Subject subject = MakeSubject(Spherical(4), Iris());
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const auto first = Draw(subject, method, 1, 0);
    EXPECT_EQ(*first, *Draw(subject, method, 1, 0));
    EXPECT_NE(*first, *Draw(subject, method, 1, 3));
    EXPECT_NE(*first, *Draw(subject, method, 2, 0));
  }
}

TEST(Starts, KeepRowsWholeInEveryThirdRestartOnly) {
  // Two far clusters: their hard start has their own variances, softened ones far larger ones.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 50; ++i)
    data.values.insert(data.values.end(), {0.1 * (i % 5), 1000.0 + i % 5});
  const Subject subject = MakeSubject(Spherical(2), data);
  for (int restart = 0; restart < 6; ++restart) {
    const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, 1, restart);
    EXPECT_EQ((*theta)[4] < 10, restart % 3 == 0) << restart;
    EXPECT_NEAR((*theta)[0], 0.5, 1e-12);
  }
}

TEST(Starts, IgnoreRowsWithoutWeight) {
  // The outliers have no weight: no seed may be one of them.
  Data data = Blobs(300, 2, 3, 5, 8);
  data.weights.assign(300, 1.0);
  for (int i = 0; i < 40; ++i) {
    data.values[2 * i] = 1e6 * (i + 1);
    data.weights[i] = 0;
  }
  const Subject subject = MakeSubject(Spherical(3), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    for (int restart = 0; restart < 9; ++restart) {
      const auto theta = Draw(subject, method, 1, restart);
      ASSERT_TRUE(theta.ok());
      for (int k = 0; k < 3; ++k) {
        EXPECT_GT((*theta)[k], 0);
        EXPECT_LT((*theta)[3 + 2 * k], 100);
      }
    }
  }
}

TEST(Starts, FollowTheWeightsOfRows) {
  // Nearly all weight on three of ten places: a start with three components puts its seeds there.
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int i = 0; i < 10; ++i) {
    data.values.push_back(10 * i);
    data.weights.push_back(i % 4 == 0 && i < 9 ? 1e9 : 1);
  }
  const Subject subject = MakeSubject(Spherical(3), data);
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto theta = Draw(subject, method, seed, 0);
      ASSERT_TRUE(theta.ok());
      for (int k = 0; k < 3; ++k) EXPECT_NEAR((*theta)[k], 1 / 3.0, 1e-6);
    }
  }
}

TEST(Starts, DoNotDependOnTheUnitOfWeights) {
  Data data = Blobs(150, 4, 3, 5, 8);
  for (double& value : data.values) value *= 1e-3;  // leaves room for the weights in sums
  const auto plain = Draw(MakeSubject(Spherical(5), data), StartMethod::kKMeansPlusPlus, 1, 0);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const double weight : {1e-315, 1e-9, 1e306}) {  // near the ends of what a double holds
    data.weights.assign(150, weight);
    const auto theta = Draw(MakeSubject(Spherical(5), data), StartMethod::kKMeansPlusPlus, 1, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (size_t i = 0; i < 5; ++i) EXPECT_NEAR((*theta)[i], (*plain)[i], 1e-6) << weight;
  }
}

TEST(Starts, SampleLargeTablesAndStillAssignEveryRow) {
  // More rows than the sample, some of them without weight.
  Data data = Blobs(60000, 1, 3, 40, 5);
  data.weights.assign(60000, 1.0);
  for (int i = 0; i < 60000; i += 4) data.weights[i] = 0;
  const Subject subject = MakeSubject(Spherical(3), data);
  const auto theta = Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0);
  ASSERT_TRUE(theta.ok());
  for (int k = 0; k < 3; ++k) EXPECT_NEAR((*theta)[k], 1 / 3.0, 1e-3);
  EXPECT_EQ(*theta, *Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0, 5)) << "with five threads";
}

TEST(Starts, CopeWithDuplicatedRows) {
  // 100 rows in four places.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 100; ++i) {
    data.values.insert(data.values.end(), {static_cast<double>(i % 4), static_cast<double>(i % 2)});
  }
  for (const StartMethod method : {StartMethod::kKMeansPlusPlus, StartMethod::kRandomRows}) {
    const Subject enough = MakeSubject(Spherical(4), data);
    const auto theta = Draw(enough, method, 1, 0);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (int k = 0; k < 4; ++k) EXPECT_NEAR((*theta)[k], 0.25, 1e-12);

    const Subject too_many = MakeSubject(Spherical(5), data);
    const absl::Status status = Draw(too_many, method, 1, 0).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("got 5, must be at most 4"));
  }
}

TEST(Starts, AreRandomDistinctRowsOnceTimeIsUp) {
  // Ten places with a hundred rows each: ten random rows would miss some.
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 1000; ++i) {
    data.values.insert(data.values.end(), {100.0 * (i % 5), 100.0 * (i % 2)});
  }
  for (const int known : {0, 1, 4, 25}) {
    int looks = 0;
    const auto time_is_up = [&] { return looks++ >= known; };
    const auto draw = [&](int num_components) {
      looks = 0;
      const Subject subject = MakeSubject(Spherical(num_components), data);
      return Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0, 1, time_is_up);
    };
    const auto theta = draw(10);
    ASSERT_TRUE(theta.ok()) << theta.status();
    for (int k = 0; k < 10; ++k) EXPECT_NEAR((*theta)[k], 0.1, 1e-12);
    EXPECT_EQ(looks, known + 1);
    EXPECT_THAT(std::string(draw(11).status().message()), HasSubstr("got 11, must be at most 10"));
  }
}

TEST(Starts, SayThatRowsAreTooCloseForTheirScale) {
  // Sixty different rows that five others, far out, make one.
  Data data = Blobs(60, 1, 1, 1, 3);
  data.values.insert(data.values.end(), 5, 1e20);
  const Subject subject = MakeSubject(Spherical(3), data);
  const absl::Status status = Draw(subject, StartMethod::kKMeansPlusPlus, 1, 0).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("got 3, must be at most 2"));
  EXPECT_THAT(message, HasSubstr("scaling by the columns' standard deviations"));
  EXPECT_THAT(message, HasSubstr("outliers"));
  EXPECT_THAT(message, HasSubstr("fewer components"));
}

TEST(Starts, FitsWithDuplicatedRowsAreSound) {
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  for (int i = 0; i < 100; ++i) {
    data.values.insert(data.values.end(), {static_cast<double>(i % 4), static_cast<double>(i % 2)});
  }
  for (const Covariance covariance :
       {Covariance::kFull, Covariance::kTied, Covariance::kDiagonal, Covariance::kTiedDiagonal,
        Covariance::kSpherical, Covariance::kTiedSpherical}) {
    const auto fit = FitData(MixtureOptions{4, GaussianOptions{covariance}}, data, {});
    ASSERT_TRUE(fit.ok()) << fit.status();
    for (const double value : fit->theta) EXPECT_TRUE(std::isfinite(value));
    if (fit->best.termination != Termination::kDegenerate) {
      EXPECT_TRUE(fit->repairs.empty());
    }
  }
}

TEST(Starts, OneComponentPerRowIsDegenerateNotACrash) {
  const Data data{.num_columns = 1, .values = {1, 2, 4, 8, 16}, .weights = {}};
  const auto fit = FitData(Spherical(5), data, {});
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_EQ(fit->best.termination, Termination::kDegenerate);
}

}  // namespace
}  // namespace emserve::testing
