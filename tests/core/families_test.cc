#include "core/families.h"

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Families, AreNamedOnceAndDescribed) {
  std::set<std::string_view> names;
  for (const FamilyInfo& family : Families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    EXPECT_FALSE(family.summary.empty());
    EXPECT_FALSE(family.capabilities.empty());
    EXPECT_THAT(family.outputs, Contains("labels"));
  }
}

TEST(Families, NameWhatOptionsDescribe) {
  EXPECT_EQ(FamilyName(MixtureOptions{2, GaussianOptions{}}), "gaussian_mixture");
}

ModelOptions ResolvedFor(const ModelOptions& options, const Data& data) {
  const auto resolved = Resolved(options, SummaryOf(data.ToTable()), data.ToTable().names());
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  return *resolved;
}

TEST(Resolved, FillsInWhatTheDataDecide) {
  const Data data{.num_columns = 3, .values = {0, 2, 5, 1, 4, 9}, .weights = {}};
  const auto categorical = std::get<CategoricalOptions>(
      std::get<MixtureOptions>(ResolvedFor(MixtureOptions{2, CategoricalOptions{}}, data))
          .emission);
  EXPECT_THAT(categorical.first, ElementsAre(0, 2, 5));
  EXPECT_THAT(categorical.num_levels, ElementsAre(2, 3, 5));
  const ModelOptions product = MixtureOptions{
      2, ProductOptions{{{"size", 1, GaussianOptions{}},
                         {"answer", 1, CategoricalOptions{.first = {1}, .num_levels = {}}},
                         {"counts", 1, MultinomialOptions{}}}}};
  const auto parts =
      std::get<ProductOptions>(std::get<MixtureOptions>(ResolvedFor(product, data)).emission).parts;
  const auto& answer = std::get<CategoricalOptions>(parts[1].emission);
  EXPECT_THAT(answer.first, ElementsAre(1));
  EXPECT_THAT(answer.num_levels, ElementsAre(4));
  EXPECT_EQ(std::get<MultinomialOptions>(parts[2].emission).trials, 7);
  EXPECT_TRUE(std::holds_alternative<KMeansOptions>(ResolvedFor(KMeansOptions{2}, data)));
}

TEST(Resolved, RefusesWhatMakeModelRefuses) {
  const Data data{.num_columns = 2, .values = {0, 2.5, 1, 3}, .weights = {}};
  for (const EmissionOptions& emission : std::initializer_list<EmissionOptions>{
           CategoricalOptions{}, MultinomialOptions{.trials = -1},
           ProductOptions{{{"a", 1, CategoricalOptions{.first = {}, .num_levels = {0}}},
                           {"b", 1, GaussianOptions{}}}},
           ProductOptions{{{"a", 1, PoissonOptions{}}}}}) {
    const MixtureOptions options{2, emission};
    const absl::Status status =
        Resolved(options, SummaryOf(data.ToTable()), data.ToTable().names()).status();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status,
              MakeModel(options, SummaryOf(data.ToTable()), data.ToTable().names()).status());
  }
}

TEST(SameStructure, TellsCodesApart) {
  const Data data{.num_columns = 1, .values = {0, 1, 2}, .weights = {}};
  const Data shifted{.num_columns = 1, .values = {1, 2, 3}, .weights = {}};
  for (const EmissionOptions& emission : std::initializer_list<EmissionOptions>{
           CategoricalOptions{}, ProductOptions{{{"a", 1, CategoricalOptions{}}}}}) {
    const MixtureOptions options{2, emission};
    EXPECT_TRUE(SameStructure(ResolvedFor(options, data), ResolvedFor(options, data)));
    EXPECT_FALSE(SameStructure(ResolvedFor(options, data), ResolvedFor(options, shifted)));
  }
  const auto with = [](std::vector<int64_t> first) {
    return MixtureOptions{2, CategoricalOptions{.first = std::move(first), .num_levels = {3}}};
  };
  EXPECT_TRUE(SameStructure(with({1}), with({1, 1}))) << "one for all columns";
  EXPECT_FALSE(SameStructure(with({1}), with({1, 0})));
  EXPECT_FALSE(SameStructure(with({}), with({0})));
}

absl::Status Make(const ModelOptions& options, const Data& data) {
  return MakeModel(options, SummaryOf(data.ToTable()), data.ToTable().names()).status();
}

TEST(MakeModel, RefusesBadNumbersOfComponents) {
  const Data data{.num_columns = 1, .values = {1, 2, 3, 4}, .weights = {1, 1, 1, 0}};
  EXPECT_TRUE(Make(MixtureOptions{3, GaussianOptions{}}, data).ok());
  for (const int num_components : {0, -1, 4}) {
    const absl::Status status = Make(MixtureOptions{num_components, GaussianOptions{}}, data);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr("num_components: got"));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Make(MixtureOptions{0, GaussianOptions{}}, data)));
  EXPECT_TRUE(absl::IsFailedPrecondition(Make(MixtureOptions{4, GaussianOptions{}}, data)))
      << "a row without weight is no row";
}

TEST(MakeModel, RefusesSizesThatCannotBeMeant) {
  Summary summary;
  summary.num_rows = summary.num_weighted_rows = int64_t{1} << 40;
  summary.total_weight = 1e12;
  const size_t num_columns = 1 << 20;
  summary.mean.assign(num_columns, 0.0);
  summary.variance.assign(num_columns, 1.0);
  summary.minimum.assign(num_columns, -1.0);
  summary.maximum.assign(num_columns, 1.0);
  const std::vector<std::string> names(num_columns, "x");
  for (const Covariance covariance : {Covariance::kFull, Covariance::kTied}) {
    const absl::Status status =
        MakeModel(MixtureOptions{2147483647, GaussianOptions{covariance}}, summary, names).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("emission.covariance: got"));
  }
  EXPECT_TRUE(
      MakeModel(MixtureOptions{2, GaussianOptions{Covariance::kDiagonal}}, summary, names).ok());
}

TEST(MakeModel, RefusesAnUnknownCovariance) {
  const absl::Status status =
      Make(MixtureOptions{1, GaussianOptions{static_cast<Covariance>(99)}}, Faithful());
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

}  // namespace
}  // namespace emserve::testing
