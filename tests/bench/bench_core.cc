// emserve_bench: seconds per EM iteration, peak memory and objective of fixed workloads, as JSON.
//
//   emserve_bench                          every workload with 1 and 2 threads, one line each
//   emserve_bench run NAME THREADS [N]     one workload, N iterations
//   emserve_bench write NAME DIRECTORY     data and start for other programs: NAME.json says the
//                                          shapes, NAME.data.f64 and NAME.start.f64 hold raw
//                                          doubles
//   emserve_bench list                     the workloads' names
//
// Data and start are functions of the name alone, so every program works on the same numbers.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/data/sequences.h"
#include "core/data/table.h"
#include "core/em/fit.h"
#include "core/families.h"
#include "core/numerics/kernels.h"
#include "core/runtime/random.h"

namespace emserve {
namespace {

using Clock = std::chrono::steady_clock;

struct Workload {
  const char* name;
  Covariance covariance;
  int64_t rows;
  int columns;
  int components;
  int iterations;
  int64_t sequence_rows = 0;  // of a hidden Markov model's sequences; 0: a mixture
};

constexpr Workload kWorkloads[] = {
    {"gmm_full_1m_16_16", Covariance::kFull, 1000000, 16, 16, 6},
    {"gmm_full_200k_64_32", Covariance::kFull, 200000, 64, 32, 5},
    {"gmm_full_100k_128_8", Covariance::kFull, 100000, 128, 8, 6},
    {"gmm_diagonal_1m_32_64", Covariance::kDiagonal, 1000000, 32, 64, 6},
    {"gmm_full_small_272_2_2", Covariance::kFull, 272, 2, 2, 1000},
    {"hmm_diagonal_one_1m_1_3", Covariance::kDiagonal, 1000000, 1, 3, 8, 1000000},
    {"hmm_diagonal_1000_100_8_5", Covariance::kDiagonal, 100000, 8, 5, 20, 100},
    {"hmm_full_one_100k_4_20", Covariance::kFull, 100000, 4, 20, 8, 100000},
    {"hmm_diagonal_one_100k_2_64", Covariance::kDiagonal, 100000, 2, 64, 6, 100000},
};

const Workload* Find(const std::string& name) {
  for (const Workload& workload : kWorkloads) {
    if (workload.name == name) return &workload;
  }
  return nullptr;
}

// Rows from overlapping Gaussians, each with its own correlated noise x = centre + z + 0.5 roll(z);
// of a chain each row is from the Gaussian of the row before it nine times in ten.
std::vector<double> MakeData(const Workload& w) {
  Random random(1, 0);
  std::vector<double> centres(static_cast<size_t>(w.components) * w.columns);
  for (double& centre : centres) centre = 1.5 * random.Normal();
  std::vector<double> values;
  values.reserve(w.rows * w.columns);
  std::vector<double> noise(w.columns);
  const double* centre = nullptr;
  for (int64_t i = 0; i < w.rows; ++i) {
    const bool stays = w.sequence_rows > 0 && i % w.sequence_rows != 0 && random.Uniform() < 0.9;
    if (!stays) centre = centres.data() + random.Below(w.components) * w.columns;
    for (double& z : noise) z = random.Normal();
    for (int c = 0; c < w.columns; ++c) {
      values.push_back(centre[c] + noise[c] + 0.5 * noise[(c + 1) % w.columns]);
    }
  }
  return values;
}

// Equal probabilities, means at rows spread over the table, variances of the columns.
std::vector<double> MakeStart(const Workload& w, const Model& model, const Summary& summary,
                              const Table& table) {
  std::vector<double> theta(model.parameters().size());
  model.Reference(summary, theta);
  const ArraySpec& means = *model.parameters().Find("means");
  for (int k = 0; k < w.components; ++k) {
    for (int c = 0; c < w.columns; ++c) {
      theta[means.offset + k * w.columns + c] = table.value(w.rows * k / w.components, c);
    }
  }
  return theta;
}

struct Prepared {
  Table table;
  Summary summary;
  std::unique_ptr<Model> model;
  std::vector<double> start;
};

Prepared Prepare(const Workload& w, Pool::Share& share) {
  Table::Options of_table;
  ModelOptions options = MixtureOptions{w.components, GaussianOptions{w.covariance}};
  if (w.sequence_rows > 0) {
    const std::vector<int64_t> lengths(w.rows / w.sequence_rows, w.sequence_rows);
    of_table.sequences =
        std::make_shared<const Sequences>(Sequences::FromLengths(lengths, w.rows).value());
    HmmOptions hmm;
    hmm.num_states = w.components;
    hmm.emission = GaussianOptions{w.covariance};
    options = std::move(hmm);
  }
  const auto values = std::make_shared<const std::vector<double>>(MakeData(w));
  const Cells cells{.owner = values,
                    .bytes = reinterpret_cast<const std::byte*>(values->data()),
                    .num_rows = w.rows,
                    .num_columns = w.columns};
  Table table = Table::Create(cells, std::move(of_table)).value();
  Summary summary = Summarize(table, share, {}).value();
  std::unique_ptr<Model> model = MakeModel(options, summary, table.names()).value();
  std::vector<double> start = MakeStart(w, *model, summary, table);
  return {std::move(table), std::move(summary), std::move(model), std::move(start)};
}

class Stopwatch : public Observer {
 public:
  void OnIteration(const Progress&) override { times_.push_back(Clock::now()); }
  void OnWarning(int, const std::string&, const std::string&) override {}
  double MedianSeconds() const {
    std::vector<double> seconds;
    for (size_t i = 1; i < times_.size(); ++i) {
      seconds.push_back(std::chrono::duration<double>(times_[i] - times_[i - 1]).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
    return seconds.empty() ? 0 : seconds[seconds.size() / 2];
  }

 private:
  std::vector<Clock::time_point> times_;
};

int Run(const Workload& w, int num_threads, int iterations) {
  Pool pool(num_threads);
  Pool::Share share(pool);
  const Prepared prepared = Prepare(w, share);
  Stopwatch stopwatch;
  RunOptions run;
  run.share = &share;
  run.observer = &stopwatch;
  FitOptions options;
  options.start = StartMethod::kGiven;
  options.given = prepared.start;
  options.restarts = 1;
  options.max_iterations = iterations;
  options.relative_tolerance = 0;
  const auto fit = Fit(*prepared.model, prepared.table, prepared.summary, options, run);
  if (!fit.ok()) {
    std::fprintf(stderr, "%s\n", fit.status().ToString().c_str());
    return 1;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf(
      "{\"workload\": \"%s\", \"threads\": %d, \"kernels\": \"%s\", \"iterations\": %lld, "
      "\"seconds_per_iteration\": %.6g, \"peak_memory_mib\": %.1f, \"data_mib\": %.1f, "
      "\"objective\": %.17g}\n",
      w.name, num_threads, KernelTarget(), static_cast<long long>(fit->best.iterations),
      stopwatch.MedianSeconds(), static_cast<double>(usage.ru_maxrss) / 1024,
      static_cast<double>(w.rows) * w.columns * 8 / (1 << 20), fit->objective);
  std::fflush(stdout);
  return 0;
}

// In a process of its own, so that its peak memory is its own.
int RunApart(const Workload& w, int num_threads, int iterations) {
  const pid_t child = fork();
  if (child == 0) _exit(Run(w, num_threads, iterations));
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

int Write(const Workload& w, const std::string& directory) {
  Pool pool(1);
  Pool::Share share(pool);
  const Prepared prepared = Prepare(w, share);
  const std::string stem = directory + "/" + w.name;
  const auto write = [&](const std::string& suffix, const std::vector<double>& values) {
    std::ofstream file(stem + suffix, std::ios::binary);
    file.write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(values.size() * sizeof(double)));
    return file.good();
  };
  std::ofstream shapes(stem + ".json");
  shapes << "{\"rows\": " << w.rows << ", \"columns\": " << w.columns
         << ", \"components\": " << w.components << ", \"iterations\": " << w.iterations
         << ", \"covariance\": \"" << (w.covariance == Covariance::kFull ? "full" : "diagonal")
         << "\", \"sequence_rows\": " << w.sequence_rows << "}\n";
  return write(".data.f64", MakeData(w)) && write(".start.f64", prepared.start) && shapes.good()
             ? 0
             : 1;
}

int Main(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    int failures = 0;
    for (const Workload& workload : kWorkloads) {
      for (const int num_threads : {1, 2}) {
        failures += RunApart(workload, num_threads, workload.iterations);
      }
    }
    return failures == 0 ? 0 : 1;
  }
  if (arguments[0] == "list") {
    for (const Workload& workload : kWorkloads) std::printf("%s\n", workload.name);
    return 0;
  }
  const Workload* const workload = arguments.size() >= 3 ? Find(arguments[1]) : nullptr;
  if (workload != nullptr && arguments[0] == "run") {
    const int iterations =
        arguments.size() > 3 ? std::atoi(arguments[3].c_str()) : workload->iterations;
    return Run(*workload, std::max(1, std::atoi(arguments[2].c_str())), iterations);
  }
  if (workload != nullptr && arguments[0] == "write") return Write(*workload, arguments[2]);
  std::fprintf(
      stderr,
      "usage: emserve_bench [list | run NAME THREADS [ITERATIONS] | write NAME DIRECTORY]\n");
  return 2;
}

}  // namespace
}  // namespace emserve

int main(int argc, char** argv) { return emserve::Main({argv + 1, argv + argc}); }
