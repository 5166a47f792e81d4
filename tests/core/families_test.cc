#include "core/families.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::Contains;
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
