// Products of emissions: one part is the part, columns split are columns whole, and mixed kinds.
#include "core/emission/product.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/em/fit.h"
#include "core/emission/gaussian.h"
#include "core/emission/poisson.h"
#include "core/emission/student_t.h"
#include "core/latent/mixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/emission_probe.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<Emission> MakePart(const GaussianOptions& options, int num_components,
                                   const Data& data, int first, int count) {
  const Table table = data.ToTable();
  return MakeGaussian(options, num_components, SummaryOfColumns(SummaryOf(table), first, count),
                      {table.names().begin() + first, table.names().begin() + first + count})
      .value();
}
std::unique_ptr<Emission> MakeTails(const StudentTOptions& options, int num_components,
                                    const Data& data, int first, int count) {
  const Table table = data.ToTable();
  return MakeStudentT(options, num_components, SummaryOfColumns(SummaryOf(table), first, count),
                      {table.names().begin() + first, table.names().begin() + first + count})
      .value();
}

std::unique_ptr<Emission> Join(std::unique_ptr<Emission> a, std::unique_ptr<Emission> b) {
  std::vector<ProductPart> parts;
  parts.push_back({"a", std::move(a)});
  parts.push_back({"b", std::move(b)});
  return MakeProduct(std::move(parts)).value();
}
std::unique_ptr<Emission> Alone(std::unique_ptr<Emission> part) {
  std::vector<ProductPart> parts;
  parts.push_back({"only", std::move(part)});
  return MakeProduct(std::move(parts)).value();
}

// A t on the first three columns of iris, a Gaussian on the last.
std::unique_ptr<Emission> Mixed(int num_components, const Data& data) {
  return Join(MakeTails({}, num_components, data, 0, 3),
              MakePart({.covariance = Covariance::kSpherical}, num_components, data, 3, 1));
}

absl::StatusOr<FitResult> FitModel(const Model& model, const Data& data) {
  Pool pool(1);
  Pool::Share share(pool);
  const Table table = data.ToTable();
  RunOptions run;
  run.share = &share;
  FitOptions options;
  options.restarts = 3;
  return Fit(model, table, SummaryOf(table), options, run);
}

TEST(ProductLayout, NamesTheArraysOfItsParts) {
  const Data data = Iris();
  const auto product = Mixed(3, data);
  std::vector<std::string> names;
  for (const ArraySpec& array : product->parameters().arrays()) names.push_back(array.name);
  EXPECT_THAT(names, ElementsAre("a.means", "a.covariances", "a.degrees_of_freedom", "b.means",
                                 "b.variances"));
  EXPECT_EQ(product->num_columns(), 4);
  EXPECT_EQ(product->parameters().size(), 9 + 27 + 3 + 3 + 3);
  EXPECT_EQ(product->degrees_of_freedom({true, true, true}), 9 + 18 + 3 + 3 + 3);
  EXPECT_EQ(product->degrees_of_freedom({true, true, false}), 6 + 12 + 2 + 2 + 2);
}

TEST(ProductOfOne, IsThePartBitForBit) {
  for (const bool holes : {false, true}) {
    const Data data = holes ? WithHoles(Iris(), 1) : Iris();
    const auto part = MakeTails({}, 3, data, 0, 4);
    const auto product = Alone(MakeTails({}, 3, data, 0, 4));
    const std::vector<double> params = RandomParameters(*part, data, 1);
    EXPECT_EQ(RandomParameters(*product, data, 1), params);
    EmissionProbe a(*part, data);
    EmissionProbe b(*product, data);
    EXPECT_EQ(a.LogDensity(params), b.LogDensity(params));
    const std::vector<double> r = a.RandomResponsibilities(2);
    EXPECT_EQ(a.Statistics(params, r), b.Statistics(params, r));
    const auto cells = a.Conditional(params, r);
    const auto same = b.Conditional(params, r);
    EXPECT_EQ(cells.mean, same.mean);
    EXPECT_EQ(cells.variance, same.variance);

    const auto fit = FitModel(*MakeMixture(MakeTails({}, 3, data, 0, 4)).value(), data);
    const auto of_product =
        FitModel(*MakeMixture(Alone(MakeTails({}, 3, data, 0, 4))).value(), data);
    ASSERT_TRUE(fit.ok() && of_product.ok());
    EXPECT_EQ(fit->theta, of_product->theta);
    EXPECT_EQ(fit->objective, of_product->objective);
  }
}

TEST(ProductOfDiagonalGaussians, IsTheDiagonalGaussianWhole) {
  const GaussianOptions diagonal{.covariance = Covariance::kDiagonal};
  for (const bool holes : {false, true}) {
    const Data data = holes ? WithHoles(Iris(), 1) : Iris();
    const auto whole = MakePart(diagonal, 3, data, 0, 4);
    const auto product = Join(MakePart(diagonal, 3, data, 0, 1), MakePart(diagonal, 3, data, 1, 3));
    const std::vector<double> params = RandomParameters(*whole, data, 1);
    const std::vector<double> split = RandomParameters(*product, data, 1);
    // means [3, 4], variances [3, 4] against those of column 0, then of the others.
    std::vector<double> expected;
    for (const int array : {0, 12}) {
      for (int k = 0; k < 3; ++k) expected.push_back(params[array + 4 * k]);
    }
    for (const int array : {0, 12}) {
      for (int k = 0; k < 3; ++k) {
        for (int c = 1; c < 4; ++c) expected.push_back(params[array + 4 * k + c]);
      }
    }
    ASSERT_EQ(split.size(), expected.size());
    for (size_t j = 0; j < split.size(); ++j) EXPECT_NEAR(split[j], expected[j], 1e-12);

    EmissionProbe a(*whole, data);
    EmissionProbe b(*product, data);
    const std::vector<double> x = a.LogDensity(params);
    const std::vector<double> y = b.LogDensity(expected);
    for (size_t j = 0; j < x.size(); ++j) EXPECT_NEAR(x[j], y[j], 1e-12 * (1 + std::abs(x[j])));
    const std::vector<double> r = a.RandomResponsibilities(2);
    const auto cells = a.Conditional(params, r);
    const auto same = b.Conditional(expected, r);
    for (size_t j = 0; j < cells.mean.size(); ++j) {
      EXPECT_NEAR(cells.mean[j], same.mean[j], 1e-12);
      EXPECT_NEAR(cells.variance[j], same.variance[j], 1e-12);
    }

    const auto fit = FitModel(*MakeMixture(MakePart(diagonal, 3, data, 0, 4)).value(), data);
    const auto model =
        MakeMixture(Join(MakePart(diagonal, 3, data, 0, 1), MakePart(diagonal, 3, data, 1, 3)))
            .value();
    const auto of_product = FitModel(*model, data);
    ASSERT_TRUE(fit.ok() && of_product.ok());
    EXPECT_NEAR(fit->objective, of_product->objective, 1e-7);
  }
}

TEST(ProductOfTwoKinds, KeepsTheLaws) {
  const Data data = Iris();
  const auto emission = Mixed(3, data);
  const std::vector<double> params = RandomParameters(*emission, data, 1);
  EXPECT_TRUE(emission->Validate(params).ok());
  EXPECT_TRUE(MaximizesExpectedLogDensity(*emission, data, params, 1));
  EXPECT_TRUE(MaximizesExpectedLogDensity(*emission, WithHoles(data, 2), params, 2));
  EXPECT_TRUE(ExpectedStatisticsGiveParametersBack(*emission, params));
  EXPECT_TRUE(CoordinatesRoundTrip(*emission, params));
  EXPECT_TRUE(RecenteringChangesNoExpectation(*emission, data, params,
                                              RandomParameters(*emission, data, 2)));
  for (const bool holes : {false, true}) {
    const Data rows = holes ? WithHoles(data, 4) : data;
    const Table table = rows.ToTable();
    const Summary summary = SummaryOf(table);
    const auto model = MakeMixture(Mixed(3, rows)).value();
    const Theta theta = RandomTheta(*model, table, summary, 1);
    EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 60));
    EXPECT_TRUE(StatisticsAddUp(*model, table, theta));
    EXPECT_TRUE(WeightsAreMultiplicities(*model, rows, theta));
    EXPECT_TRUE(ThreadsDoNotChangeBits(*model, table, summary));
    if (holes) continue;
    EXPECT_TRUE(EStepDoesNotAllocate(*model, table, theta));
    EXPECT_TRUE(RelabellingRelabels(*model, table, theta));
  }
}

// Numbers and counts: densities multiply, holes in either leave the other, and a count that is none
// is refused by its column.
TEST(ProductOfTwoKinds, OfNumbersAndCounts) {
  Data data{.num_columns = 2, .values = {}, .weights = {}};
  Random random(2, 0);
  for (int i = 0; i < 200; ++i) {
    const double count = static_cast<double>(random.Below(i % 2 == 0 ? 5 : 40));
    data.values.insert(data.values.end(), {(i % 2) * 4 + random.Normal(), count});
  }
  const Table table = data.ToTable();
  const Summary summary = SummaryOf(table);
  const auto make = [&] {
    return Join(MakePart({}, 2, data, 0, 1),
                MakePoisson({}, 2, SummaryOfColumns(summary, 1, 1), {"1"}).value());
  };
  const auto emission = make();
  const Data rows{.num_columns = 2, .values = {1, 3, NAN, 3, 1, NAN, NAN, NAN}, .weights = {}};
  // means, covariances, rates.
  const std::vector<double> params = {0, 2, 4, 1, 2, 5};
  EmissionProbe probe(*emission, rows);
  std::vector<double> log_density = probe.LogDensity(params);
  const double normal = -0.5 * std::log(2 * M_PI * 4) - 0.125;
  const double poisson = 3 * std::log(2.0) - 2 - std::log(6.0);
  const double expected[] = {normal + poisson, poisson, normal, 0};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(probe.at(log_density, 0, i), expected[i], 1e-13) << i;

  const Data holed = WithHoles(data, 1);
  const auto model = MakeMixture(make()).value();
  const Theta theta = RandomTheta(*model, holed.ToTable(), summary, 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, holed.ToTable(), theta, 60));
  EXPECT_TRUE(StatisticsAddUp(*model, holed.ToTable(), theta));

  data.values[2 * 31 + 1] = 2.5;
  EmissionProbe broken(*emission, data);
  EXPECT_THAT(std::string(emission->CheckRows(broken.block(), {"size", "count"}).message()),
              HasSubstr("[31]: got 2.5 in column 'count', must be"));
}

// A part whose columns are complete is not told otherwise by holes elsewhere.
TEST(ProductOfTwoKinds, PartsWithoutHolesStayComplete) {
  Data data = Iris();
  for (int64_t i = 0; i < data.num_rows(); i += 3) data.values[4 * i + 3] = NAN;
  Data left{.num_columns = 3, .values = {}, .weights = {}};
  for (size_t j = 0; j < data.values.size(); ++j) {
    if (j % 4 != 3) left.values.push_back(data.values[j]);
  }
  const auto product = Mixed(3, data);
  const auto part = MakeTails({}, 3, left, 0, 3);
  const std::vector<double> params = RandomParameters(*product, data, 1);
  EmissionProbe a(*product, data);
  EmissionProbe b(*part, left);
  const std::vector<double> r = a.RandomResponsibilities(3);
  const std::vector<double> stats = a.Statistics(params, r);
  const std::vector<double> expected =
      b.Statistics(std::span(params).first(part->parameters().size()), r);
  for (size_t j = 0; j < expected.size(); ++j) EXPECT_EQ(stats[j], expected[j]);
}

TEST(ProductSample, DrawsEveryPart) {
  const Data data = Iris();
  const auto emission = Join(MakePart({.covariance = Covariance::kDiagonal}, 2, data, 0, 3),
                             MakePart({.covariance = Covariance::kDiagonal}, 2, data, 3, 1));
  const auto prepared = emission->NewPrepared();
  const std::vector<double> params = {1,    2,    3,    4,    5, 6, 1e-8, 1e-8,
                                      1e-8, 1e-8, 1e-8, 1e-8, 7, 8, 1e-8, 1e-8};
  ASSERT_TRUE(emission->Prepare(params, *prepared).ok());
  Random random(1, 0);
  std::vector<double> row(4);
  emission->Sample(*prepared, 1, random, row);
  for (const int c : {0, 1, 2}) EXPECT_NEAR(row[c], 4 + c, 1e-2);
  EXPECT_NEAR(row[3], 8, 1e-2);
}

TEST(ProductConstraints, ReachTheirPart) {
  const Data data = WithHoles(Iris(), 3);
  const ConstraintOptions constraints{.fixed = {{"b.means", {1}, {0.5}}},
                                      .tied = {{"a.degrees_of_freedom", {}}}};
  const auto model = MakeMixture(Mixed(3, data), {.constraints = constraints}).value();
  const Table table = data.ToTable();
  const Theta theta = RandomTheta(*model, table, SummaryOf(table), 1);
  EXPECT_TRUE(ObjectiveNeverDecreases(*model, table, theta, 30));
  const Theta next = OneIteration(*model, table, theta);
  const auto view = [&](const char* name) {
    return Layout::View(std::span<const double>(next), *model->parameters().Find(name));
  };
  EXPECT_EQ(view("b.means")[1], 0.5);
  EXPECT_NE(view("b.means")[0], 0.5);
  EXPECT_EQ(view("a.degrees_of_freedom")[0], view("a.degrees_of_freedom")[2]);
  EXPECT_EQ(model->degrees_of_freedom(theta), 2 + 9 + 18 + 1 + 2 + 3);

  const ConstraintOptions negative{.fixed = {{"b.variances", {0}, {-1}}}, .tied = {}};
  EXPECT_EQ(MakeMixture(Mixed(3, data), {.constraints = negative}).status().message(),
            "constraints: part b got variances[0] fixed at -1, must be positive");
}

TEST(ProductMaximize, ReportsAnEmptyComponentOnce) {
  const Data data = Iris();
  const auto emission = Mixed(3, data);
  const std::vector<double> params = RandomParameters(*emission, data, 1);
  EmissionProbe probe(*emission, data);
  std::vector<double> r = probe.RandomResponsibilities(1);
  for (int i = 0; i < 150; ++i) probe.at(r, 2, i) = 0;
  std::vector<Repair> repairs;
  const std::vector<double> next =
      probe.Maximize(params, probe.Occupancy(r), probe.Statistics(params, r), &repairs);
  ASSERT_EQ(repairs.size(), 1u);
  EXPECT_EQ(repairs[0].component, 2);
  EXPECT_EQ(next.back(), params.back());
}

TEST(ProductParameters, AreCheckedUnderTheirNames) {
  const Data data = Iris();
  const auto emission = Mixed(3, data);
  std::vector<double> params = RandomParameters(*emission, data, 1);
  params.back() = -1;
  EXPECT_THAT(std::string(emission->Validate(params).message()),
              HasSubstr("b.variances[2]: got -1"));
  params[0] = NAN;
  EXPECT_THAT(std::string(emission->Validate(params).message()),
              HasSubstr("a.means[0, 0]: got nan"));
}

// What the second part says of a row, it says of its own columns.
class Whole final : public Emission {
 public:
  explicit Whole(std::unique_ptr<Emission> emission, bool numeric, int seeds)
      : of_(std::move(emission)), numeric_(numeric), seeds_(seeds) {}
  const Layout& parameters() const override { return of_->parameters(); }
  const Layout& statistics() const override { return of_->statistics(); }
  int num_components() const override { return of_->num_components(); }
  int num_columns() const override { return of_->num_columns(); }
  int64_t scratch_per_row() const override { return of_->scratch_per_row(); }
  int num_seeds() const override { return seeds_; }
  bool starts_hard() const override { return numeric_; }
  bool has_distances() const override { return numeric_; }
  int64_t degrees_of_freedom(const std::vector<bool>& active) const override {
    return of_->degrees_of_freedom(active);
  }
  absl::Status Constrain(Constraints c) override { return of_->Constrain(std::move(c)); }
  absl::Status CheckRows(const Block& block, const std::vector<std::string>& names) const override {
    for (int i = 0; i < block.num_rows; ++i) {
      if (std::floor(block.column(0)[i]) == block.column(0)[i]) continue;
      return absl::InvalidArgumentError("[" + std::to_string(block.first_row + i) + "]: column '" +
                                        names[0] + "' of " + std::to_string(names.size()));
    }
    return absl::OkStatus();
  }
  std::unique_ptr<Prepared> NewPrepared() const override { return of_->NewPrepared(); }
  std::unique_ptr<Workspace> NewWorkspace(int n) const override { return of_->NewWorkspace(n); }
  absl::Status Validate(std::span<const double> p) const override { return of_->Validate(p); }
  absl::Status Prepare(std::span<const double> p, Prepared& q) const override {
    return of_->Prepare(p, q);
  }
  void LogDensity(const Prepared& p, const Block& b, Workspace& w,
                  std::span<double> out) const override {
    of_->LogDensity(p, b, w, out);
  }
  void Accumulate(const Prepared& p, const Block& b, std::span<const double> r, Workspace& w,
                  std::span<double> s) const override {
    of_->Accumulate(p, b, r, w, s);
  }
  absl::Status Maximize(std::span<const double> p, std::span<const double> o,
                        std::span<const double> s, std::span<double> n,
                        const MaximizeContext& c) const override {
    return of_->Maximize(p, o, s, n, c);
  }
  void Recenter(std::span<const double> p, std::span<const double> c, std::span<const double> o,
                std::span<double> s) const override {
    of_->Recenter(p, c, o, s);
  }
  void ExpectedStatistics(std::span<const double> p, std::span<const double> o,
                          std::span<double> s) const override {
    of_->ExpectedStatistics(p, o, s);
  }
  double ExpectedLogDensity(std::span<const double> c, std::span<const double> o,
                            std::span<const double> s, std::span<const double> p) const override {
    return of_->ExpectedLogDensity(c, o, s, p);
  }
  double LogPrior(std::span<const double> p) const override { return of_->LogPrior(p); }
  void Reference(const Summary& s, std::span<double> p) const override { of_->Reference(s, p); }
  void Sample(const Prepared& p, int k, Random& random, std::span<double> row) const override {
    of_->Sample(p, k, random, row);
  }
  void Conditional(const Prepared& p, const Block& b, std::span<const double> r, Workspace& w,
                   double* mean, double* variance) const override {
    of_->Conditional(p, b, r, w, mean, variance);
  }
  void ToUnconstrained(std::span<const double> p, std::span<double> c) const override {
    of_->ToUnconstrained(p, c);
  }
  void FromUnconstrained(std::span<const double> c, std::span<const double> r,
                         std::span<double> p) const override {
    of_->FromUnconstrained(c, r, p);
  }

 private:
  const std::unique_ptr<Emission> of_;
  const bool numeric_;
  const int seeds_;
};

TEST(ProductRows, AreCheckedByThePartsOfTheirColumns) {
  Data data = Iris();
  for (int64_t i = 0; i < 150; ++i) data.values[4 * i + 2] = std::floor(data.values[4 * i + 2]);
  const auto numeric = [&](int count) { return MakePart({}, 3, data, 0, count); };
  const auto product =
      Join(numeric(2), std::make_unique<Whole>(MakePart({}, 3, data, 2, 2), false, 3));
  EXPECT_FALSE(product->has_distances());
  EXPECT_FALSE(product->starts_hard());
  EXPECT_TRUE(Join(numeric(2), numeric(2))->has_distances());
  EXPECT_TRUE(Join(numeric(2), numeric(2))->starts_hard());
  const std::vector<std::string> names = {"p", "q", "r", "s"};
  {
    EmissionProbe probe(*product, data);
    EXPECT_TRUE(product->CheckRows(probe.block(), names).ok());
  }
  data.values[4 * 17 + 2] = 0.5;
  EmissionProbe probe(*product, data);
  EXPECT_EQ(product->CheckRows(probe.block(), names).message(), "[17]: column 'r' of 2");
}

TEST(ProductParts, AreChecked) {
  const Data data = Iris();
  const auto message = [&](std::vector<std::string> names, int components, int seeds) {
    std::vector<ProductPart> parts;
    for (size_t p = 0; p < names.size(); ++p) {
      auto part = MakePart({}, p == 0 ? 3 : components, data, 0, 2);
      parts.push_back(
          {names[p], std::make_unique<Whole>(std::move(part), true, p == 0 ? 3 : seeds)});
    }
    const auto made = MakeProduct(std::move(parts));
    return made.ok() ? std::string() : std::string(made.status().message());
  };
  EXPECT_EQ(message({"a", "b_2"}, 3, 3), "");
  EXPECT_EQ(message({}, 3, 3), "parts: got none, must be at least 1");
  EXPECT_EQ(message({"a", "B"}, 3, 3), "parts[1].name: got \"B\", must match [a-z][a-z0-9_]{0,62}");
  EXPECT_THAT(message({"9a"}, 3, 3), ::testing::HasSubstr("must match"));
  EXPECT_THAT(message({std::string(64, 'a')}, 3, 3), ::testing::HasSubstr("must match"));
  EXPECT_EQ(message({""}, 3, 3), "parts[0].name: got \"\", must match [a-z][a-z0-9_]{0,62}");
  EXPECT_EQ(message({"a", "a"}, 3, 3), "parts[1].name: got \"a\" again, must be unique");
  EXPECT_THAT(message({"a", "b"}, 2, 2),
              HasSubstr("parts[1].emission: got one with 2 components, of which 2 take part in "
                        "starts, must be 3 and 3"));
  EXPECT_THAT(message({"a", "b"}, 3, 2), HasSubstr("of which 2 take part"));
  std::vector<ProductPart> none;
  none.push_back({"a", nullptr});
  EXPECT_EQ(MakeProduct(std::move(none)).status().message(),
            "parts[0].emission: got none, must be given");
}

}  // namespace
}  // namespace emserve::testing
