// Fits that start from a stored model, and updates of one.
#include "server/jobs/warm_start.h"

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

class WarmStartTest : public FitTest {};

// One Gaussian's statistics are its parameters, so that nothing is lost.
TEST_F(WarmStartTest, AnUpdateWithOneHalfOfTheFitOfTheOtherIsTheFitOfAll) {
  const std::vector<double> all = emserve::testing::Faithful().values;
  const auto middle = all.begin() + 200;
  UploadFaithful();
  UploadCells("first", {"eruptions", "waiting"}, {all.begin(), middle});
  UploadCells("second", {"eruptions", "waiting"}, {middle, all.end()});
  const std::vector<double> expected = Fitted(Request("faithful", 1)).version->theta;
  Fitted(Request("first", 1));  // models/m/versions/2
  FitRequest request = Request("second", 1);
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m";
  request.update.emplace();
  const auto updated = Fitted(request).version;
  EXPECT_THAT(updated->theta, Pointwise(DoubleNear(1e-6), expected));
  EXPECT_EQ(updated->report->past.num_observations, 100);
  EXPECT_EQ(updated->report->criteria.num_observations, 172);

  // The past of a past counts too; less of it is forgotten in proportion.
  const auto twice = Fitted(request).version;
  EXPECT_EQ(twice->report->past.num_observations, 272);
  request.start_model = "models/m/versions/2";
  request.update->weight = 1e-9;
  const auto forgotten = Fitted(request).version;
  EXPECT_THAT(forgotten->theta,
              Pointwise(DoubleNear(1e-6), Fitted(Request("second", 1)).version->theta));

  const auto refused = [&](const char* text, auto spoil) {
    FitRequest bad = request;
    spoil(bad);
    EXPECT_THAT(MakeFitWork(bad, environment(), "job-1"), FailsWith(kInvalid, text));
  };
  refused("update.weight: got 0", [](auto& r) { r.update->weight = 0; });
  refused("update.weight: got nan", [](auto& r) { r.update->weight = kNan; });
  refused("update.weight: got inf", [](auto& r) { r.update->weight = kInfinity; });
  refused("update: got one without start.model", [](auto& r) {
    r.start_model.clear();
    r.options.start = StartMethod::kAuto;
  });
}

TEST_F(WarmStartTest, AnUpdateKnowsItsVersionAndBecomesTheNextOne) {
  UploadFaithful();
  Fitted(Request("faithful"));
  ASSERT_THAT(server_.registry.SetAlias("models/m", "good"), IsOk());
  FitRequest request = Request("faithful");
  request.model_id = "";
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m@good";
  request.respecify = [](const std::string&, const FittedSpec& fitted) {
    return absl::StrCat(fitted.start_model, " ", fitted.update_weight.value_or(-1));
  };
  EXPECT_EQ(Fitted(request).version->spec, "models/m/versions/1 -1");
  EXPECT_EQ(server_.registry.Resolve("", "models/job-1").value().version->name(),
            "models/job-1/versions/1");
  request.update.emplace();
  const auto updated = Fitted(request).version;
  EXPECT_EQ(updated->name(), "models/m/versions/2");
  EXPECT_EQ(updated->spec, "models/m/versions/1 272");
  request.update->weight = 5;
  request.model_id = "other";
  const auto other = Fitted(request).version;
  EXPECT_EQ(other->name(), "models/other/versions/1");
  EXPECT_EQ(other->spec, "models/m/versions/1 5");
}

// Both start from what there is when they are made.
TEST_F(WarmStartTest, AnUpdateStartsFromTheVersionOfItsSubmission) {
  UploadFaithful();
  Fitted(Request("faithful"));
  FitRequest request = Request("faithful");
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m";
  request.update.emplace();
  auto first = MakeFitWork(request, environment(), "job-1").value();
  auto second = MakeFitWork(request, environment(), "job-2").value();
  for (const auto& work : {first.get(), second.get()}) {
    WorkRun run(server_.pool, server_.clock.get());
    const auto result = run.Run(*work);
    ASSERT_THAT(result, IsOk());
    EXPECT_EQ(std::get<FitJobResult>(*result).report->past.num_observations, 272);
  }
}

TEST_F(WarmStartTest, AnUpdateNeedsTheCategoriesOfItsModel) {
  const auto upload = [&](const char* id, std::vector<std::string> levels, ColumnKind kind) {
    DatasetSchema schema = RealColumns({"answer"}, 4);
    schema.columns[0].kind = kind;
    schema.columns[0].levels = std::move(levels);
    ASSERT_THAT(Upload(server_.datasets, id, schema, Packed(std::vector<double>{0, 1, 1, 0})),
                IsOk());
  };
  upload("ab", {"a", "b"}, ColumnKind::kCategorical);
  upload("ac", {"a", "c"}, ColumnKind::kCategorical);
  upload("codes", {}, ColumnKind::kReal);
  upload("counts", {}, ColumnKind::kCount);
  FitRequest request = Request("ab", 1);
  request.model = MixtureOptions{1, CategoricalOptions{}};
  Fitted(request);
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/m";
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"), IsOk());
  request.source.dataset = "datasets/ac";
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid,
                        "start.model: got models/m/versions/1, to which column "
                        "\"answer\" has other levels"));
  request.source.dataset = "datasets/codes";
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
              FailsWith(kInvalid,
                        "start.model: got models/m/versions/1, to which column "
                        "\"answer\" is categories"));
  // Counts are numbers.
  request = Request("counts", 1);
  request.model = MixtureOptions{1, PoissonOptions{}};
  request.model_id = "n";
  Fitted(request);
  request.source.dataset = "datasets/codes";
  request.options.start = StartMethod::kGiven;
  request.options.restarts = 1;
  request.start_model = "models/n";
  EXPECT_THAT(MakeFitWork(request, environment(), "job-1"), IsOk());
}

// Two codes are not the same two for having the same number.
TEST_F(WarmStartTest, AnUpdateNeedsTheCodesOfItsModel) {
  FitRequest request = InlineRequest({1, 2, 2, 1}, {"code"}, 1);
  request.model = MixtureOptions{1, CategoricalOptions{}};
  const auto version = Fitted(request).version;
  const auto& mixture = std::get<MixtureOptions>(version->options);
  EXPECT_THAT(std::get<CategoricalOptions>(mixture.emission).first, ElementsAre(1));
  EXPECT_THAT(std::get<CategoricalOptions>(mixture.emission).num_levels, ElementsAre(2));
  const auto updated = [&](const std::vector<double>& codes, std::vector<int64_t> first) {
    FitRequest update = InlineRequest(codes, {"code"}, 1);
    update.model =
        MixtureOptions{1, CategoricalOptions{.first = std::move(first), .num_levels = {}}};
    update.options.start = StartMethod::kGiven;
    update.options.restarts = 1;
    update.start_model = "models/m";
    update.update.emplace();
    return MakeFitWork(std::move(update), environment(), "job-1").status();
  };
  EXPECT_THAT(updated({2, 1, 1, 1}, {}), IsOk());
  EXPECT_THAT(updated({2, 1, 1, 1}, {1}), IsOk());
  EXPECT_THAT(updated({0, 1, 1, 1}, {}),
              FailsWith(kInvalid,
                        "start.model: got models/m/versions/1, a model whose parameters mean "
                        "something else"));
}

// An imported report may say anything.
TEST_F(WarmStartTest, APastThatIsNoNumberOfObservationsIsRefused) {
  for (const double past : {-5.0, 0.0, 1e308}) {
    ModelVersion version = TwoClusterVersion();
    auto report = std::make_shared<FitReport>();
    report->criteria.num_observations = past > 0 ? past : 0;
    report->past.num_observations = past;
    version.report = report;
    ASSERT_THAT(server_.registry.Add("imported", std::move(version)), IsOk());
    FitRequest request = InlineRequest(TwoClusters(20, 2, 1), {"x", "y"});
    request.model = Mixture(2, Covariance::kSpherical);
    request.options.start = StartMethod::kGiven;
    request.options.restarts = 1;
    request.start_model = "models/imported";
    request.update.emplace();
    EXPECT_THAT(MakeFitWork(request, environment(), "job-1"),
                FailsWith(kInvalid, "update.weight: got none"));
    request.update->weight = 20;
    EXPECT_THAT(MakeFitWork(request, environment(), "job-1"), IsOk());
  }
}

}  // namespace
}  // namespace emserve::server
