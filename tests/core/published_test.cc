// Fits with ordinary options reach what R mclust reaches, on every row of its reference table.
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "core/em/fit.h"
#include "core/families.h"
#include "core/select/criteria.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

struct Published {
  std::string dataset;
  std::string structure;
  int num_components;
  int64_t degrees_of_freedom;
  double log_likelihood;
  double bic;  // mclust's sign: larger is better
  double icl;
};

std::ostream& operator<<(std::ostream& out, const Published& p) {
  return out << p.dataset << " " << p.structure << "," << p.num_components;
}

const std::map<std::string, Covariance>& Structures() {
  static const std::map<std::string, Covariance> structures = {
      {"E", Covariance::kTiedSpherical},   {"V", Covariance::kSpherical},
      {"EII", Covariance::kTiedSpherical}, {"VII", Covariance::kSpherical},
      {"EEI", Covariance::kTiedDiagonal},  {"VEI", Covariance::kVEI},
      {"EVI", Covariance::kEVI},           {"VVI", Covariance::kDiagonal},
      {"EEE", Covariance::kTied},          {"VEE", Covariance::kVEE},
      {"EVE", Covariance::kEVE},           {"VVE", Covariance::kVVE},
      {"EEV", Covariance::kEEV},           {"VEV", Covariance::kVEV},
      {"EVV", Covariance::kEVV},           {"VVV", Covariance::kFull},
  };
  return structures;
}

std::vector<Published> Rows() {
  std::vector<Published> rows;
  for (const std::vector<std::string>& cells : ReadCsv("mclust_reference.csv")) {
    rows.push_back({cells[0], cells[1], std::atoi(cells[2].c_str()), std::atoll(cells[5].c_str()),
                    std::atof(cells[6].c_str()), std::atof(cells[7].c_str()),
                    std::atof(cells[8].c_str())});
  }
  return rows;
}

Data DataOf(const std::string& dataset) {
  if (dataset == "faithful") return Faithful();
  if (dataset == "iris") return Iris();
  return GalaxiesInThousands();
}

class PublishedFits : public ::testing::TestWithParam<Published> {
 protected:
  PublishedFits()
      : subject_(MakeSubject(MixtureOptions{GetParam().num_components,
                                            GaussianOptions{Structures().at(GetParam().structure)}},
                             DataOf(GetParam().dataset))),
        pool_(2),
        share_(pool_) {
    run_.share = &share_;
  }

  const Subject subject_;
  Pool pool_;
  Pool::Share share_;
  RunOptions run_;
};

TEST_P(PublishedFits, AreReachedWithDefaultOptions) {
  const Published& published = GetParam();
  const auto fit = Fit(*subject_.model, subject_.table, subject_.summary, {}, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_GE(fit->objective, published.log_likelihood - 1e-3);
  EXPECT_NE(fit->best.termination, Termination::kDegenerate) << fit->best.message;
}

TEST_P(PublishedFits, AreReachedWithManyRestartsAndGiveTheSameCriteria) {
  const Published& published = GetParam();
  FitOptions options;
  options.seed = 20;
  options.restarts = 50;
  const auto fit = Fit(*subject_.model, subject_.table, subject_.summary, options, run_);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_GE(fit->objective, published.log_likelihood - 1e-3);
  EXPECT_NE(fit->best.termination, Termination::kDegenerate) << fit->best.message;
  EXPECT_EQ(subject_.model->degrees_of_freedom(fit->theta), published.degrees_of_freedom);

  // mclust stops early, so its criteria are compared only where the optimum is the same.
  if (std::abs(fit->objective - published.log_likelihood) > 1e-3) return;
  const auto criteria =
      ComputeCriteria(*subject_.model, subject_.table, fit->theta, fit->log_likelihood,
                      subject_.summary.total_weight, share_, {});
  ASSERT_TRUE(criteria.ok()) << criteria.status();
  EXPECT_NEAR(*criteria->bic, -published.bic, 2.1e-3);
  EXPECT_NEAR(*criteria->icl, -published.icl, 0.1);
}

INSTANTIATE_TEST_SUITE_P(Mclust, PublishedFits, ::testing::ValuesIn(Rows()), [](const auto& test) {
  return test.param.dataset + "_" + test.param.structure + "_" +
         std::to_string(test.param.num_components);
});

TEST(PublishedTable, CoversThreeDataSets) { EXPECT_EQ(Rows().size(), 14 * 4 * 2 + 2 * 6u); }

TEST(PublishedFigures, GalaxiesWithThreeComponentsOfTheirOwnVariance) {
  FitOptions options;
  options.restarts = 20;
  const auto fit = FitData(MixtureOptions{3, GaussianOptions{Covariance::kSpherical}},
                           GalaxiesInThousands(), options);
  ASSERT_TRUE(fit.ok()) << fit.status();
  EXPECT_NEAR(fit->objective, -203.1792, 1e-3);
}

}  // namespace
}  // namespace emserve::testing
