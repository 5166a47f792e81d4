// Probabilities of smaller and larger values: of the distributions against 50-digit values, and of
// the emissions against their own densities and conditionals.
#include "core/numerics/cumulative.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/distribution/emission.h"
#include "core/emission/bernoulli.h"
#include "core/emission/categorical.h"
#include "core/emission/exponential.h"
#include "core/emission/gamma.h"
#include "core/emission/gaussian.h"
#include "core/emission/log_normal.h"
#include "core/emission/multinomial.h"
#include "core/emission/negative_binomial.h"
#include "core/emission/noise.h"
#include "core/emission/poisson.h"
#include "core/emission/product.h"
#include "core/emission/student_t.h"
#include "core/emission/von_mises_fisher.h"
#include "core/runtime/random.h"
#include "gtest/gtest.h"
#include "tests/core/emission_subject.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

void ExpectClose(double value, double expected, double relative) {
  EXPECT_LE(std::abs(value - expected), relative * expected) << value << " for " << expected;
}

TEST(Cumulatives, HaveBothTailsToTheirOwnPrecision) {
  struct Case {
    Cumulatives got;
    double below, at, above;
  };
  // By mpmath 1.3 with 50 digits: incomplete gamma and beta functions, sums, or quadrature.
  const Case cases[] = {
      {NormalCumulatives(-37), 5.725571222524577e-300, 0, 1},
      {NormalCumulatives(-20), 2.753624118606234e-89, 0, 1},
      {NormalCumulatives(-1.5), 0.06680720126885807, 0, 0.9331927987311419},
      {NormalCumulatives(0), 0.5, 0, 0.5},
      {NormalCumulatives(0.25), 0.5987063256829237, 0, 0.4012936743170763},
      {NormalCumulatives(8), 0.9999999999999994, 0, 6.220960574271784e-16},
      {NormalCumulatives(36), 1, 0, 4.182624065797283e-284},
      {StudentCumulatives(-1e9, 0.1), 0.05254506833213579, 0, 0.9474549316678642},
      {StudentCumulatives(-1e30, 1), 3.183098861837907e-31, 0, 1},
      {StudentCumulatives(0.75, 2.5), 0.7412518684089207, 0, 0.2587481315910793},
      {StudentCumulatives(1e100, 3), 1, 0, 1.102657790843584e-300},
      {StudentCumulatives(-25, 30), 6.045911190643513e-22, 0, 1},
      {StudentCumulatives(-36, 1e6), 6.366995560199513e-284, 0, 1},
      {StudentCumulatives(36, 1e17), 1, 0, 4.182624065797283e-284},
      {GammaCumulatives(1e-8, 0.5), 0.999999994402264, 0, 5.597735977099587e-9},
      {GammaCumulatives(1e-8, 200), 1, 0, 6.885226511192259e-98},
      {GammaCumulatives(0.3, 1e-300), 1.11424250854731e-90, 0, 1},
      {GammaCumulatives(0.5, 690), 1, 0, 4.661158455673913e-302},
      {GammaCumulatives(7, 1e-40), 1.984126984126983e-284, 0, 1},
      {GammaCumulatives(7, 3.25), 0.04772525875072514, 0, 0.9522747412492749},
      {GammaCumulatives(7, 700), 1, 0, 1.624993343799592e-290},
      {GammaCumulatives(9999, 7000), 1.387704890402646e-248, 0, 1},
      {GammaCumulatives(10000, 7000), 9.711672437705852e-249, 0, 1},
      {GammaCumulatives(10000, 10050), 0.6923424407025656, 0, 0.3076575592974344},
      {GammaCumulatives(1e8, 100350000), 1, 0, 4.679196418743119e-268},
      {GammaCumulatives(1e12, 999965000000), 1.108947810311419e-268, 0, 1},
      {PoissonCumulatives(1e-8, 0), 0, 0.99999999, 9.99999995e-9},
      {PoissonCumulatives(1e-8, 3), 1, 1.66666665e-25, 4.166666633333334e-34},
      {PoissonCumulatives(0.5, 130), 1, 6.890649610165663e-260, 2.640018720232365e-262},
      {PoissonCumulatives(650, 1), 5.111951948651156e-283, 3.322768766623252e-280, 1},
      {PoissonCumulatives(20, 17), 0.221074201554441, 0.07595419637023286, 0.7029716020753262},
      {PoissonCumulatives(1e8, 100360000), 1, 3.268935048427243e-286, 9.073359682933098e-284},
      {NegativeBinomialCumulatives(1e-8, 2, 3, -55.9551894374170416), 1, 4.999999875000002e-25,
       3.124999925000001e-33},
      {NegativeBinomialCumulatives(3, 0.5, 0, -0.972955074527656653), 0, 0.3779644730092272,
       0.6220355269907728},
      {NegativeBinomialCumulatives(3, 0.5, 2200, -344.524978775275159), 1, 2.369751681292437e-150,
       1.419599179657621e-149},
      {NegativeBinomialCumulatives(40, 1e-10, 5, -24.6352888448501969), 0.9999999975368603,
       1.999999995048721e-11, 2.443139702096458e-9},
      {NegativeBinomialCumulatives(1000, 0.1, 5000, -11.3392145626130075), 0.9413941177516796,
       1.189711573287619e-5, 0.05859398513258748},
      {NegativeBinomialCumulatives(20, 1e6, 2, -14.7015216357190953), 4.329205905685688e-8,
       4.122970980426252e-7, 0.9999995444108429},
      {NegativeBinomialCumulatives(1e8, 3, 100, -43.4192623062871358), 4.635889256315158e-18,
       1.390765702527404e-19, 1},
  };
  for (const Case& c : cases) {
    ExpectClose(c.got.below, c.below, 1e-11);
    ExpectClose(c.got.at, c.at, 1e-11);
    ExpectClose(c.got.above, c.above, 1e-11);
  }
}

TEST(Cumulatives, OfWhateverComesAreNumbers) {
  for (const double x : {kNaN, -kInfinity, -1e308, -1.0, 0.0, 5e-324, 1.0, 1e9, 1e308, kInfinity}) {
    for (const double size : {5e-324, 1e-300, 1.0, 1e4, 1e15, 1e300}) {
      for (const Cumulatives& c :
           {NormalCumulatives(x), StudentCumulatives(x, size), GammaCumulatives(size, x),
            PoissonCumulatives(size, std::floor(x)), PoissonCumulatives(0, x),
            NegativeBinomialCumulatives(0, size, x, 0),
            NegativeBinomialCumulatives(3, size, std::floor(x), -1)}) {
        for (const double p : {c.below, c.at, c.above}) {
          EXPECT_TRUE(p >= 0 && p <= 1) << p << " of " << x << " with " << size << ", " << c.below
                                        << ", " << c.at << ", " << c.above;
        }
      }
    }
  }
}

template <typename Options>
MakeEmission Maker(absl::StatusOr<std::unique_ptr<Emission>> (*make)(
                       const Options&, int, const Summary&, const std::vector<std::string>&),
                   const Options& options, int num_components) {
  return [=](const Summary& summary, const std::vector<std::string>& names) {
    return make(options, num_components, summary, names);
  };
}

// [columns x stride] each.
struct Arrays {
  std::vector<double> below, at, above;
};
Arrays CumulativesOf(EmissionOnBlock& subject, int component) {
  const size_t size = static_cast<size_t>(subject.block.num_columns) * subject.block.stride;
  Arrays arrays{std::vector<double>(size), std::vector<double>(size), std::vector<double>(size)};
  EXPECT_TRUE(subject.emission->has_cumulatives());
  subject.emission->Cumulative(*subject.prepared, subject.block, component, *subject.workspace,
                               arrays.below.data(), arrays.at.data(), arrays.above.data());
  return arrays;
}

struct OneColumn {
  std::string name;
  MakeEmission make;
  bool counts = false;
  bool positive = true;
};
std::vector<OneColumn> OneColumns() {
  return {
      {"gaussian", Maker(MakeGaussian, GaussianOptions{}, 1), false, false},
      {"student_t", Maker(MakeStudentT, StudentTOptions{}, 1), false, false},
      {"exponential", Maker(MakeExponential, ExponentialOptions{}, 1)},
      {"gamma", Maker(MakeGamma, GammaOptions{}, 1)},
      {"log_normal", Maker(MakeLogNormal, LogNormalOptions{}, 1)},
      {"poisson", Maker(MakePoisson, PoissonOptions{}, 1), true},
      {"negative_binomial", Maker(MakeNegativeBinomial, NegativeBinomialOptions{}, 1), true},
  };
}

TEST(EmissionCumulative, HasTheDensityAsItsSlope) {
  for (const OneColumn& column : OneColumns()) {
    for (const double scale : {1e-8, 1.0, 1e8}) {
      SCOPED_TRACE(column.name + " at " + std::to_string(scale));
      if (column.counts && scale < 1) continue;
      // Ascending, with a neighbour on either side of each value.
      const double step = column.counts ? 1 : 1e-5 * scale;
      Data data{.num_columns = 1, .values = {}, .weights = {}};
      for (int j = 0; j < 40; ++j) {
        double centre = scale * (0.05 + 0.11 * j * (column.positive ? 1 : j - 20));
        if (column.counts) centre = std::floor((scale > 1 ? scale + 1e4 * (j - 20) : 3.0 * j)) + 1;
        if (!column.counts && !column.positive) centre = scale * 0.3 * (j - 20);
        for (const int side : {-1, 0, 1}) data.values.push_back(centre + side * step);
      }
      EmissionOnBlock subject(column.make, data);
      Theta params(subject.emission->parameters().size());
      subject.emission->Reference(subject.summary, params);
      subject.Prepare(params);
      const std::vector<double> log_density = subject.LogDensity();
      const Arrays c = CumulativesOf(subject, 0);
      for (int64_t i = 0; i < data.num_rows(); ++i) {
        EXPECT_NEAR(c.below[i] + c.at[i] + c.above[i], 1, 1e-12);
        if (i > 0) {
          EXPECT_GE(c.below[i], c.below[i - 1]);
          EXPECT_LE(c.above[i], c.above[i - 1]);
        }
        const double density = std::exp(log_density[i]);
        if (column.counts) {
          ExpectClose(c.at[i], density, 1e-7);
          if (i % 3 != 1) continue;
          EXPECT_NEAR(c.below[i + 1] - c.below[i], c.at[i], 1e-12);
          EXPECT_NEAR(c.above[i - 1] - c.above[i], c.at[i], 1e-12);
        } else {
          EXPECT_EQ(c.at[i], 0);
          if (i % 3 != 1) continue;
          const double step_density = density * (data.values[i + 1] - data.values[i - 1]);
          const double error = 1e-5 * step_density + 1e-15;
          EXPECT_NEAR(c.below[i + 1] - c.below[i - 1], step_density, error);
          EXPECT_NEAR(c.above[i - 1] - c.above[i + 1], step_density, error);
        }
      }
    }
  }
}

TEST(EmissionCumulative, OfZerosAndOnes) {
  EmissionOnBlock subject(Maker(MakeBernoulli, BernoulliOptions{}, 2),
                          {.num_columns = 1, .values = {0, 1}, .weights = {}});
  subject.Prepare({0.25, 1});
  const Arrays first = CumulativesOf(subject, 0);
  EXPECT_EQ(first.below[0], 0);
  EXPECT_EQ(first.at[0], 0.75);
  EXPECT_EQ(first.above[0], 0.25);
  EXPECT_EQ(first.below[1], 0.75);
  EXPECT_EQ(first.at[1], 0.25);
  EXPECT_EQ(first.above[1], 0);
  const Arrays second = CumulativesOf(subject, 1);
  EXPECT_EQ(second.at[0], 0);
  EXPECT_EQ(second.at[1], 1);
}

// Rows of three columns that go together, the last of them without a cell; every fourth cell of
// the column in the middle is missing.
Data Correlated() {
  Random random(3, 1);
  Data data{.num_columns = 3, .values = {}, .weights = {}};
  for (int i = 0; i < 60; ++i) {
    const double common = random.Normal();
    data.values.push_back(1e8 + common + 0.3 * random.Normal());
    data.values.push_back(i % 4 == 3 ? kNaN : 1e-8 * (common - random.Normal()));
    data.values.push_back(5 * random.Normal() + (i % 2));
  }
  for (int d = 0; d < 3; ++d) data.values.push_back(kNaN);
  return data;
}

// What a component makes of a row without a cell is its columns' own mean and variance.
void ExpectMarginals(
    const MakeEmission& make,
    const std::function<Cumulatives(double z, double variance_ratio)>& of_standard,
    const std::function<double(const Theta& params, int component)>& variance_ratio) {
  const Data data = Correlated();
  EmissionOnBlock subject(make, data);
  Theta start(subject.emission->parameters().size());
  subject.emission->Reference(subject.summary, start);
  subject.Prepare(start);
  std::vector<int> rows(data.num_rows());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = i < 20 ? 0 : 1;
  const Theta params =
      subject.Maximize(start, {20, 40}, subject.Accumulate(subject.Assigned(rows)));
  subject.Prepare(params);
  const Block& block = subject.block;
  for (int k = 0; k < 2; ++k) {
    std::vector<double> posterior(2 * static_cast<size_t>(block.stride));
    std::fill_n(posterior.begin() + k * block.stride, block.stride, 1.0);
    const Scratch mean(3LL * block.stride);
    const Scratch variance(3LL * block.stride);
    subject.emission->Conditional(*subject.prepared, block, posterior, *subject.workspace,
                                  mean.data(), variance.data());
    const Arrays got = CumulativesOf(subject, k);
    const double ratio = variance_ratio(params, k);
    for (int d = 0; d < 3; ++d) {
      const int64_t absent = static_cast<int64_t>(d) * block.stride + 60;
      for (int i = 0; i < 60; ++i) {
        const int64_t at = static_cast<int64_t>(d) * block.stride + i;
        if (std::isnan(block.values[at])) continue;
        const double z = (block.values[at] - mean[absent]) / std::sqrt(variance[absent] / ratio);
        const Cumulatives expected = of_standard(z, ratio);
        ExpectClose(got.below[at], expected.below, 1e-6);
        ExpectClose(got.above[at], expected.above, 1e-6);
      }
    }
  }
}

TEST(EmissionCumulative, OfEllipticalRowsIsThatOfEachColumn) {
  for (const CovarianceInfo& info : CovarianceStructures()) {
    SCOPED_TRACE(std::string(info.name));
    ExpectMarginals(
        Maker(MakeGaussian, GaussianOptions{info.covariance}, 2),
        [](double z, double) { return NormalCumulatives(z); },
        [](const Theta&, int) { return 1.0; });
    StudentTOptions student;
    student.covariance = info.covariance;
    student.degrees_of_freedom = 5;
    student.estimate_degrees_of_freedom = false;
    // The variance is the squared scale times nu / (nu - 2).
    ExpectMarginals(
        Maker(MakeStudentT, student, 2), [](double z, double) { return StudentCumulatives(z, 5); },
        [](const Theta&, int) { return 5.0 / 3; });
  }
}

TEST(EmissionCumulative, OfAProductIsThatOfItsPartsInTheirOrder) {
  const auto make = [](const Summary& summary, const std::vector<std::string>& names) {
    const std::vector<std::string> front(names.begin(), names.begin() + 2);
    std::vector<ProductPart> parts;
    parts.push_back({"counts", MakePoisson({}, 2, SummaryOfColumns(summary, 0, 2), front).value()});
    parts.push_back(
        {"size", MakeGaussian({}, 2, SummaryOfColumns(summary, 2, 1), {names[2]}).value()});
    return MakeProduct(std::move(parts));
  };
  EmissionOnBlock subject(
      make, {.num_columns = 3, .values = {0, 3, -1, 2, 1, 0.5, 5, 0, kNaN}, .weights = {}});
  // Rates [2, 2], means [2, 1], covariances [2, 1, 1].
  subject.Prepare({1, 2, 3, 4, 0, 0.25, 1, 4});
  const Arrays c = CumulativesOf(subject, 1);
  const int stride = subject.block.stride;
  EXPECT_EQ(c.at[1], PoissonCumulatives(3, 2).at);
  EXPECT_EQ(c.below[1], PoissonCumulatives(3, 2).below);
  EXPECT_EQ(c.above[stride], PoissonCumulatives(4, 3).above);
  EXPECT_EQ(c.below[2 * stride], NormalCumulatives(-1.25 / 2).below);
  EXPECT_EQ(c.above[2 * stride + 1], NormalCumulatives(0.25 / 2).above);
}

TEST(EmissionCumulative, IsRefusedWhereCellsHaveNoOrderOrMakeSenseTogether) {
  const Data data{.num_columns = 2, .values = {0, 1, 1, 0, 0, 1, 1, 0}, .weights = {}};
  const Summary summary = SummaryOf(data.ToTable());
  const std::vector<std::string> names = Names(2);
  const auto has = [](const absl::StatusOr<std::unique_ptr<Emission>>& emission) {
    EXPECT_TRUE(emission.ok()) << emission.status();
    return (*emission)->has_cumulatives();
  };
  EXPECT_TRUE(has(MakeBernoulli({}, 2, summary, names)));
  EXPECT_FALSE(has(MakeCategorical({}, 2, summary, names)));
  EXPECT_FALSE(has(MakeMultinomial({}, 2, summary, names)));
  EXPECT_FALSE(has(MakeVonMisesFisher({}, 2, summary, names)));
  EXPECT_FALSE(has(WithNoise(MakeGaussian({}, 2, summary, names).value(), summary, names)));
  const auto with = [&](absl::StatusOr<std::unique_ptr<Emission>> second) {
    std::vector<ProductPart> parts;
    parts.push_back({"a", MakePoisson({}, 2, summary, names).value()});
    parts.push_back({"b", *std::move(second)});
    return MakeProduct(std::move(parts));
  };
  EXPECT_TRUE(has(with(MakeGaussian({}, 2, summary, names))));
  EXPECT_FALSE(has(with(MakeCategorical({}, 2, summary, names))));
}

}  // namespace
}  // namespace emserve::testing
