// The client library against the real server through a network that breaks at random.
#include <mutex>
#include <numeric>
#include <random>

#include "client/client.h"
#include "client/data_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/process.h"
#include "tests/client/tcp_proxy.h"

namespace emserve {
namespace {

using client::Client;

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(server_.port(), 0) << "emserved did not come up"; }

  // A client whose connections break after some bytes between `least` and `most`.
  std::unique_ptr<Client> Connect(int64_t least, int64_t most) {
    proxy_ = std::make_unique<TcpProxy>(server_.port(), [this, least, most] {
      // The first connection lives, so that Connect succeeds; later ones may break at once.
      return proxy_connections_++ == 0
                 ? most
                 : std::uniform_int_distribution<int64_t>(least, most)(random_);
    });
    client::ConnectOptions options;
    options.address = proxy_->address();
    options.retry = {.max_failures = 30,
                     .initial_delay = absl::Milliseconds(5),
                     .max_delay = absl::Milliseconds(200)};
    auto connected = Client::Connect(options);
    EXPECT_TRUE(connected.ok()) << connected.status();
    return connected.ok() ? *std::move(connected) : nullptr;
  }

  const ServerProcess server_;
  std::mt19937 random_{20};
  int proxy_connections_ = 0;
  std::unique_ptr<TcpProxy> proxy_;
};

client::Table Numbers(int64_t rows) {
  client::Table table{.columns = {"a", "b", "c"}, .num_rows = rows, .values = {}};
  table.values.resize(static_cast<size_t>(3 * rows));
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  for (double& value : table.values) value = normal(random);
  return table;
}

TEST_F(NetworkTest, ConnectsAlthoughTheFirstConnectionsBreak) {
  int connections = 0;
  const TcpProxy proxy(server_.port(), [&connections] { return ++connections <= 3 ? 0 : -1; });
  const auto client = Client::Connect({.address = proxy.address()});
  EXPECT_TRUE(client.ok()) << client.status();
  EXPECT_EQ(proxy.num_cuts(), 3);
}

TEST_F(NetworkTest, UploadsAndDownloadsArriveWholeOverBrokenConnections) {
  const auto client = Connect(200, 600'000);
  ASSERT_NE(client, nullptr);
  const client::Table table = Numbers(200'000);  // 4.8 MB
  const absl::StatusOr<v1::Dataset> dataset =
      client->Upload(table, {.dataset_id = "numbers"}, {.chunk_bytes = 65'536});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ(dataset->state(), v1::Dataset::STATE_ACTIVE);
  const int cuts = proxy_->num_cuts();
  EXPECT_GT(cuts, 5);
  const absl::StatusOr<client::Table> back = client->DownloadTable("datasets/numbers", {});
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->values == table.values);
}

TEST_F(NetworkTest, AWatchSeesEachEventOnceOverBrokenConnections) {
  const auto client = Connect(200, 16'000);
  ASSERT_NE(client, nullptr);
  const auto iris = client::ReadDataFile(EMSERVE_TEST_DATA "/iris.csv", {});
  ASSERT_TRUE(iris.ok());
  // Straight to the server, for what is not being tested.
  const auto direct = Client::Connect({.address = server_.address()});
  ASSERT_TRUE(direct.ok()) << direct.status();
  const auto dataset = (*direct)->Upload(iris->table, {.dataset_id = "iris"}, {});
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  v1::CreateJobRequest request;
  v1::FitSpec& fit = *request.mutable_job()->mutable_fit();
  fit.set_dataset("datasets/iris");
  v1::MixtureSpec& mixture = *fit.mutable_model()->mutable_mixture();
  mixture.set_num_components(3);
  mixture.mutable_emission()->mutable_gaussian();
  fit.set_restarts(5);
  fit.mutable_stopping()->set_relative_tolerance(0);
  fit.mutable_stopping()->set_max_iterations(300);
  std::vector<int64_t> sequences;
  const absl::StatusOr<v1::Job> job = client->Fit(
      request,
      {.on_event = [&](const v1::JobEvent& event) { sequences.push_back(event.sequence()); }});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), v1::JOB_STATE_SUCCEEDED);
  std::vector<int64_t> all(static_cast<size_t>(job->last_sequence()));
  std::iota(all.begin(), all.end(), 1);
  EXPECT_GT(all.size(), 1000u);
  EXPECT_TRUE(sequences == all) << sequences.size() << " of " << all.size();
  EXPECT_GT(proxy_->num_cuts(), 3);
}

TEST_F(NetworkTest, PredictionsOfALargeTableArriveInOrderOverBrokenConnections) {
  const auto client = Connect(200, 300'000);
  ASSERT_NE(client, nullptr);
  const client::Table table = Numbers(50'000);
  const auto direct = Client::Connect({.address = server_.address()});
  ASSERT_TRUE(direct.ok()) << direct.status();
  ASSERT_TRUE((*direct)->Upload(table, {.dataset_id = "numbers"}, {}).ok());
  v1::CreateJobRequest request;
  v1::FitSpec& fit = *request.mutable_job()->mutable_fit();
  fit.set_dataset("datasets/numbers");
  fit.set_model_id("m");
  fit.set_restarts(1);
  fit.mutable_model()->mutable_mixture()->mutable_emission()->mutable_gaussian();
  const absl::StatusOr<v1::Job> job = (*direct)->Fit(request, {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_TRUE(job->has_fit_result()) << job->error().message();
  const client::PredictOptions options = {.outputs = {v1::PREDICTION_OUTPUT_LOG_DENSITIES},
                                          .chunk_rows = 1000};
  int64_t next = 0;
  double sum = 0;
  const absl::Status status =
      client->StreamPredict("models/m", table, options, [&](const client::Prediction& prediction) {
        EXPECT_EQ(prediction.first_row, next);
        next += prediction.num_rows;
        for (const double value : prediction.outputs[0].values) sum += value;
        return absl::OkStatus();
      });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(next, table.num_rows);
  EXPECT_GT(proxy_->num_cuts(), 2);
  EXPECT_NEAR(sum, job->fit_result().report().log_likelihood(), 1e-6);
}

}  // namespace
}  // namespace emserve
