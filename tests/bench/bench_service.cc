// emserve_bench_service: what the service adds to the engine, against a running server, as JSON.
//
//   emserve_bench_service [ADDRESS]        default 127.0.0.1:50551
//
//   upload    one 512 MiB dataset through the client library: bytes a second
//   predict   one-row Predict from 16 callers at once, each waiting for its answer
//   fit       a fixed number of iterations of a Gaussian mixture, from submit to the last event,
//   beside
//             the same fit in this process with as many threads, in alternating runs
//
// The server needs 1 GiB of room for datasets.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "client/client.h"
#include "core/em/fit.h"
#include "core/families.h"
#include "core/runtime/random.h"

namespace emserve::client {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kComponents = 16;
constexpr int kColumns = 16;
constexpr int64_t kFitRows = 200000;
constexpr int kIterations = 40;
constexpr int kPairs = 5;

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double Quantile(std::vector<double>& values, double fraction) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(fraction * static_cast<double>(values.size() - 1))];
}

template <typename T>
T Need(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
  std::exit(1);
}

std::vector<double> RandomRows(int64_t rows) {
  Random random(1, 0);
  std::vector<double> values(static_cast<size_t>(rows * kColumns));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = random.Normal() + static_cast<double>(i / kColumns % kComponents);
  }
  return values;
}

Table Named(std::vector<double> values) {
  Table table;
  for (int c = 0; c < kColumns; ++c) table.columns.push_back("c" + std::to_string(c));
  table.num_rows = static_cast<int64_t>(values.size()) / kColumns;
  table.values = std::move(values);
  return table;
}

void Upload(Client& client) {
  Table table = Named(std::vector<double>((int64_t{512} << 20) / sizeof(double), 1.5));
  std::vector<double> rates;
  for (int run = 0; run < kPairs; ++run) {
    const Clock::time_point begin = Clock::now();
    const v1::Dataset dataset = Need(client.Upload(table, {}, {}));
    rates.push_back(static_cast<double>(table.values.size() * sizeof(double)) / Seconds(begin) /
                    1e9);
    if (!client.DeleteDataset(dataset.name()).ok()) std::exit(1);
  }
  std::printf("{\"measure\": \"upload\", \"gigabytes_per_second\": %.3f}\n", Quantile(rates, 0.5));
}

v1::CreateJobRequest FitOf(const std::string& dataset) {
  v1::CreateJobRequest request;
  v1::FitSpec& fit = *request.mutable_job()->mutable_fit();
  fit.set_dataset(dataset);
  fit.set_model_id("bench");
  fit.set_restarts(1);
  fit.mutable_stopping()->set_max_iterations(kIterations);
  fit.mutable_stopping()->set_relative_tolerance(0);
  v1::MixtureSpec& mixture = *fit.mutable_model()->mutable_mixture();
  mixture.set_num_components(kComponents);
  mixture.mutable_emission()->mutable_gaussian();
  return request;
}

double FitHere(const emserve::Table& table, Pool& pool) {
  const Clock::time_point begin = Clock::now();
  Pool::Share share(pool);
  const Summary summary = Need(Summarize(table, share, {}));
  const std::unique_ptr<Model> model =
      Need(MakeModel(MixtureOptions{kComponents, GaussianOptions{}}, summary, table.names()));
  RunOptions run;
  run.share = &share;
  FitOptions options;
  options.restarts = 1;
  options.max_iterations = kIterations;
  options.relative_tolerance = 0;
  Need(emserve::Fit(*model, table, summary, options, run));
  return Seconds(begin);
}

void FitBoth(Client& client, int num_threads) {
  const std::vector<double> values = RandomRows(kFitRows);
  const v1::Dataset dataset = Need(client.Upload(Named(values), {}, {}));
  const emserve::Table table = Need(emserve::Table::FromValues(values, kFitRows, kColumns));
  Pool pool(num_threads);
  std::vector<double> ratios, here, there;
  for (int pair = 0; pair < kPairs; ++pair) {
    here.push_back(FitHere(table, pool));
    const Clock::time_point begin = Clock::now();
    const v1::Job job = Need(client.Fit(FitOf(dataset.name()), {}));
    there.push_back(Seconds(begin));
    if (job.state() != v1::JOB_STATE_SUCCEEDED) {
      std::fprintf(stderr, "%s\n", job.ShortDebugString().c_str());
      std::exit(1);
    }
    ratios.push_back(there.back() / here.back());
  }
  std::printf(
      "{\"measure\": \"fit\", \"threads\": %d, \"seconds_in_process\": %.4f, \"seconds\": %.4f, "
      "\"median_ratio\": %.4f}\n",
      num_threads, Quantile(here, 0.5), Quantile(there, 0.5), Quantile(ratios, 0.5));
}

void PredictOneRow(Client& client) {
  constexpr int kCallers = 16;
  constexpr int kCalls = 2000;
  const Table row = Named(std::vector<double>(kColumns, 0.5));
  std::vector<std::vector<double>> seconds(kCallers);
  const Clock::time_point begin = Clock::now();
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < kCallers; ++caller) {
      callers.emplace_back([&, caller] {
        for (int call = 0; call < kCalls; ++call) {
          const Clock::time_point sent = Clock::now();
          Need(
              client.Predict("models/bench", row, {.outputs = {v1::PREDICTION_OUTPUT_POSTERIORS}}));
          seconds[caller].push_back(Seconds(sent));
        }
      });
    }
  }
  const double all = Seconds(begin);
  std::vector<double> merged;
  for (const auto& one : seconds) merged.insert(merged.end(), one.begin(), one.end());
  std::printf(
      "{\"measure\": \"predict\", \"callers\": %d, \"calls_per_second\": %.0f, \"p50_ms\": %.3f, "
      "\"p99_ms\": %.3f}\n",
      kCallers, kCallers * kCalls / all, 1e3 * Quantile(merged, 0.5), 1e3 * Quantile(merged, 0.99));
}

int Main(const std::string& address) {
  const std::unique_ptr<Client> client = Need(Client::Connect({.address = address}));
  const v1::GetServerInfoResponse info = Need(client->GetServerInfo());
  Upload(*client);
  FitBoth(*client, info.num_threads());
  PredictOneRow(*client);
  return client->DeleteModel("models/bench", true).ok() ? 0 : 1;
}

}  // namespace
}  // namespace emserve::client

int main(int argc, char** argv) {
  return emserve::client::Main(argc > 1 ? argv[1] : "127.0.0.1:50551");
}
