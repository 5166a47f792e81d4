#include "server/names.h"

#include <set>

#include "server/errors.h"
#include "server/page.h"
#include "tests/server/domain_test.h"

namespace emserve::server {
namespace {

using absl::StatusCode;

TEST(NamesTest, AcceptsIdsOfLettersDigitsDashUnderscoreAndDot) {
  for (const std::string id : {"a", "0", "a-b_c.d", "old-faithful.2"}) {
    EXPECT_THAT(CheckId("id", id), IsOk()) << id;
  }
  EXPECT_THAT(CheckId("id", std::string(63, 'x')), IsOk());
}

TEST(NamesTest, RefusesOtherIdsWithThePath) {
  for (const std::string id : {"", "-a", ".a", "_a", "A", "a/b", "a b", "a@b", "\xc3\xa4"}) {
    EXPECT_THAT(CheckId("dataset_id", id), FailsWith(StatusCode::kInvalidArgument, "dataset_id: "))
        << id;
  }
  EXPECT_THAT(CheckId("id", std::string(64, 'x')), FailsWith(StatusCode::kInvalidArgument, "id: "));
}

TEST(NamesTest, ShowsHostileNamesCutAndPrintable) {
  const absl::Status status = CheckId("id", "\x1b[2J" + std::string(10000, 'x'));
  EXPECT_LT(status.message().size(), 250u);
  EXPECT_EQ(std::string(status.message()).find('\x1b'), std::string::npos);
}

TEST(NamesTest, AliasesBeginWithALetter) {
  EXPECT_THAT(CheckAlias("alias", "v1"), IsOk());
  EXPECT_THAT(CheckAlias("alias", "1"), FailsWith(StatusCode::kInvalidArgument, "letter"));
}

TEST(NamesTest, ParsesNamesOfResources) {
  EXPECT_EQ(*ParseDatasetName("name", "datasets/x"), "x");
  EXPECT_EQ(*ParseJobName("name", "jobs/x"), "x");
  EXPECT_EQ(*ParseModelName("name", "models/x"), "x");
  for (const std::string name : {"x", "datasets/", "datasets/x/y", "dataset/x", "Datasets/x"}) {
    EXPECT_THAT(ParseDatasetName("name", name), FailsWith(StatusCode::kInvalidArgument, "name: "))
        << name;
  }
}

TEST(NamesTest, ParsesTheThreeFormsOfAModelReference) {
  EXPECT_EQ(ParseModelReference("m", "models/a.b")->model, "a.b");
  const auto version = ParseModelReference("m", "models/a/versions/12");
  EXPECT_EQ(version->model, "a");
  EXPECT_EQ(version->version, 12);
  const auto alias = ParseModelReference("m", "models/a@best");
  EXPECT_EQ(alias->alias, "best");
  EXPECT_FALSE(alias->version.has_value());
}

TEST(NamesTest, RefusesMalformedModelReferences) {
  for (const std::string name :
       {"models/", "models/a/", "models/a/versions", "models/a/versions/", "models/a/versions/0",
        "models/a/versions/01", "models/a/versions/+1", "models/a/versions/-1",
        "models/a/versions/ 1", "models/a/versions/99999999999999999999", "models/a@", "models/a@1",
        "models/a@b@c", "models/a@b/versions/1", "models/a/versions/1@b", "model/a"}) {
    EXPECT_THAT(ParseModelReference("model", name),
                FailsWith(StatusCode::kInvalidArgument, "model: got"))
        << name;
  }
}

TEST(NamesTest, MakesDistinctValidIds) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(NewId("job"));
  EXPECT_EQ(ids.size(), 1000u);
  for (const std::string& id : ids) EXPECT_THAT(CheckId("id", id), IsOk());
}

TEST(PageTest, BoundsTheSize) {
  EXPECT_EQ(*PageSize({0, ""}), 50);
  EXPECT_EQ(*PageSize({1000, ""}), 1000);
  EXPECT_THAT(PageSize({1001, ""}), FailsWith(StatusCode::kInvalidArgument, "page_size"));
  EXPECT_THAT(PageSize({-1, ""}), FailsWith(StatusCode::kInvalidArgument, "page_size"));
}

TEST(PageTest, TokensAreOfTheirOwnList) {
  const std::string token = EncodePageToken("jobs", "17");
  EXPECT_EQ(*DecodePageToken("jobs", {0, token}), "17");
  EXPECT_THAT(DecodePageToken("models", {0, token}),
              FailsWith(StatusCode::kInvalidArgument, "page_token"));
  EXPECT_THAT(DecodePageToken("jobs", {0, "not base64!"}),
              FailsWith(StatusCode::kInvalidArgument, "page_token"));
  EXPECT_THAT(DecodePageToken("jobs", {0, "AAAA"}),
              FailsWith(StatusCode::kInvalidArgument, "page_token"));
}

TEST(ErrorsTest, KeepDetailsWhenReworded) {
  const absl::Status status =
      WithMetadata(WithMetadata(NotFound(kJobType, "jobs/x"), "a", "1"), "b", "x=y");
  const absl::Status reworded = Reworded(status, "other");
  EXPECT_EQ(reworded.message(), "other");
  EXPECT_EQ(reworded.code(), StatusCode::kNotFound);
  EXPECT_EQ(MetadataOf(reworded, "a"), "1");
  EXPECT_EQ(MetadataOf(reworded, "b"), "x=y");
  EXPECT_EQ(MetadataOf(reworded, "c"), std::nullopt);
}

TEST(ErrorsTest, OfAFullLimitSayReasonAndRetry) {
  const absl::Status status = ResourceExhausted("FULL", "max_x", "full", absl::Milliseconds(1500));
  EXPECT_EQ(ReasonOf(status), "FULL");
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(1500));
  EXPECT_EQ(RetryDelayOf(ResourceExhausted("FULL", "max_x", "full", absl::ZeroDuration())),
            std::nullopt);
}

}  // namespace
}  // namespace emserve::server
