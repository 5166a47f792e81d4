// Passes over tables of many lanes: nothing is left out, nothing is counted twice, errors are
// named.
#include "core/em/expectation.h"

#include <cmath>
#include <string>
#include <vector>

#include "core/em/lanes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/laws.h"
#include "tests/core/test_data.h"

namespace emserve::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kManyRows = 33333;

TEST(Lanes, VisitEveryRowOnceAndInOrderWithinALane) {
  Data data{.num_columns = 1, .values = {}, .weights = {}};
  for (int64_t i = 0; i < kManyRows; ++i) data.values.push_back(static_cast<double>(i));
  const Table table = data.ToTable();
  for (const int num_threads : {1, 3}) {
    Pool pool(num_threads);
    Pool::Share share(pool);
    Lanes lanes(table, 3, share, {});
    ASSERT_GT(lanes.num_lanes(), 3);
    std::vector<int> visits(kManyRows);
    std::vector<int64_t> last(lanes.num_lanes(), -1);
    ASSERT_TRUE(lanes
                    .ForEachBlock([&](int lane, int slot, const Block& block) {
                      EXPECT_LT(slot, lanes.num_slots());
                      EXPECT_LE(block.num_rows, lanes.max_rows());
                      EXPECT_EQ(lanes.Begins(lane, block), last[lane] < 0);
                      EXPECT_GT(block.first_row, last[lane]);
                      last[lane] = block.first_row;
                      for (int i = 0; i < block.num_rows; ++i) {
                        EXPECT_EQ(block.column(0)[i], static_cast<double>(block.first_row + i));
                        ++visits[block.first_row + i];
                      }
                    })
                    .ok());
    EXPECT_EQ(visits, std::vector<int>(kManyRows, 1));
  }
}

TEST(Lanes, StopBetweenBlocks) {
  const Table table = Blobs(kManyRows, 1, 1, 1, 1).ToTable();
  Pool pool(1);
  Pool::Share share(pool);
  std::stop_source source;
  Lanes lanes(table, 3, share, source.get_token());
  int blocks = 0;
  const absl::Status status = lanes.ForEachBlock([&](int, int, const Block&) {
    if (++blocks == 2) source.request_stop();
  });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(blocks, 2);
}

class ManyLanes : public ::testing::Test {
 protected:
  ManyLanes()
      : subject_(MakeSubject(MixtureOptions{3, GaussianOptions{Covariance::kDiagonal}},
                             Blobs(kManyRows, 2, 3, 1, 2))),
        pool_(3),
        share_(pool_),
        expectation_(*subject_.model, subject_.table, share_, {}) {
    theta_ = RandomTheta(*subject_.model, subject_.table, subject_.summary, 1);
  }

  const Subject subject_;
  Pool pool_;
  Pool::Share share_;
  Expectation expectation_;
  Theta theta_;
};

TEST_F(ManyLanes, SumEveryRowAgainInEveryPass) {
  const double expected = LogLikelihood(*subject_.model, subject_.table, theta_);
  for (int pass = 0; pass < 3; ++pass) {
    const auto log_likelihood = expectation_.Run(theta_);
    ASSERT_TRUE(log_likelihood.ok()) << log_likelihood.status();
    EXPECT_NEAR(*log_likelihood, expected, 1e-12 * std::abs(expected));
    const auto statistics = expectation_.statistics();
    EXPECT_NEAR(statistics[0] + statistics[1] + statistics[2], kManyRows, 1e-7);
  }
}

TEST_F(ManyLanes, SumGivenPosteriors) {
  // Row i wholly to component i mod 3.
  const absl::Status status = expectation_.RunGiven(
      theta_, [](const Block& block, std::span<double> scratch, std::span<double> posterior) {
        EXPECT_EQ(scratch.size(), 2 * static_cast<size_t>(block.stride));
        EXPECT_EQ(posterior.size(), 3 * static_cast<size_t>(block.stride));
        for (const double value : posterior) EXPECT_EQ(value, 0);
        for (int i = 0; i < block.num_rows; ++i) {
          posterior[(block.first_row + i) % 3 * block.stride + i] = 1;
        }
      });
  ASSERT_TRUE(status.ok()) << status;
  for (int k = 0; k < 3; ++k) EXPECT_EQ(expectation_.statistics()[k], kManyRows / 3);
}

TEST_F(ManyLanes, NameTheFirstRowThatIsNotFinite) {
  // Squared distances to these rows overflow; they lie in different lanes.
  Data wild = Blobs(kManyRows, 2, 3, 1, 2);
  for (const int64_t row : {int64_t{20000}, int64_t{30001}}) wild.values[2 * row] = 1e160;
  const Table table = wild.ToTable();
  Expectation expectation(*subject_.model, table, share_, {});
  const absl::Status status = expectation.Run(theta_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("row 20000: got log density -inf"));
}

TEST_F(ManyLanes, FailWhenParametersDefineNoDensity) {
  theta_.back() = -1;
  const absl::Status status = expectation_.Run(theta_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("variances[2, 1]"));
}

TEST(Layout, ViewsArraysByName) {
  Layout inner;
  inner.Add("means", {2, 3});
  Layout layout;
  EXPECT_EQ(layout.Add("weights", {2}), 0);
  EXPECT_EQ(layout.Append("first.", inner), 2);
  EXPECT_EQ(layout.Append("", inner), 8);
  EXPECT_EQ(layout.size(), 14);
  ASSERT_NE(layout.Find("first.means"), nullptr);
  EXPECT_EQ(layout.Find("first.means")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(layout.Find("covariances"), nullptr);
  std::vector<double> buffer(14);
  Layout::View(std::span(buffer), *layout.Find("means"))[5] = 7;
  EXPECT_EQ(buffer[13], 7);
}

}  // namespace
}  // namespace emserve::testing
