#include "server/jobs/sweep_work.h"

#include <atomic>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/test_data.h"
#include "tests/server/fit_test.h"

namespace emserve::server {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kPrecondition = absl::StatusCode::kFailedPrecondition;

class SweepWorkTest : public FitTest {
 protected:
  static SweepRequest Sweep(const std::string& dataset, std::vector<ModelOptions> models) {
    SweepRequest request;
    request.base = Request(dataset);
    SetCandidates(request, std::move(models));
    return request;
  }
  static void SetCandidates(SweepRequest& request, std::vector<ModelOptions> models) {
    request.num_candidates = models.size();
    request.candidate = [models = std::move(models)](size_t i) -> absl::StatusOr<SweepCandidate> {
      return SweepCandidate{models.at(i), std::nullopt};
    };
  }
  // Half of the rows are the same: a component of theirs collapses, and with it the fit.
  SweepRequest CollapsingSweep(std::vector<ModelOptions> models) {
    std::vector<double> cells;
    for (int i = 0; i < 40; ++i) cells.push_back(i % 2 == 0 ? 0 : 10 + 0.1 * i);
    UploadCells("halves", {"x"}, cells);
    SweepRequest request = Sweep("halves", std::move(models));
    request.base.options.collapse = CollapsePolicy::kFail;
    request.base.options.restarts = 1;
    return request;
  }
  absl::Status SweepRefusal(SweepRequest request) {
    return MakeSweepWork(std::move(request), environment(), "job-1").status();
  }
  static std::vector<CandidateEvent> Candidates(const WorkRun& run) {
    std::vector<CandidateEvent> found;
    for (const JobEvent& event : run.job.log().Read(0, 100000).events) {
      const auto* candidate = std::get_if<CandidateEvent>(&event.what);
      if (candidate != nullptr) found.push_back(*candidate);
    }
    return found;
  }
};

// The rows are those of R mclust, whose BIC and ICL have the other sign.
TEST_F(SweepWorkTest, FindsTheModelThatMclustFinds) {
  UploadFaithful();
  std::vector<ModelOptions> models;
  for (const Covariance covariance : {Covariance::kTied, Covariance::kFull}) {
    for (const int k : {1, 2, 3}) models.push_back(Mixture(k, covariance));
  }
  SweepRequest request = Sweep("faithful", models);
  request.base.options.restarts = 30;
  auto work = MakeSweepWork(std::move(request), environment(), "job-1");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(**work);
  ASSERT_THAT(made, IsOk());
  const auto& result = std::get<SweepJobResult>(*made);
  ASSERT_THAT(result.rows, SizeIs(6));
  const double bic[] = {2607.6225, 2325.219937, 2314.316296, 2607.6225, 2322.191959, 2349.696256};
  const int64_t df[] = {5, 8, 11, 5, 11, 17};
  for (size_t i = 0; i < 6; ++i) {
    const SweepRow& row = *result.rows[i];
    EXPECT_EQ(row.candidate, static_cast<int>(i));
    EXPECT_EQ(row.num_components, static_cast<int>(i % 3) + 1);
    EXPECT_EQ(row.covariance, i < 3 ? Covariance::kTied : Covariance::kFull);
    EXPECT_EQ(row.family, "gaussian_mixture");
    ASSERT_THAT(row.status, IsOk());
    EXPECT_LE(*row.bic, bic[i] + 1e-3);
    EXPECT_EQ(row.degrees_of_freedom, df[i]);
    EXPECT_NEAR(*row.aic, -2 * row.log_likelihood + 2 * static_cast<double>(df[i]), 1e-9);
    EXPECT_GE(*row.icl, *row.bic);
  }
  EXPECT_NEAR(result.rows[4]->log_likelihood, -1130.264068, 1e-3);
  EXPECT_EQ(result.best, 2);
  EXPECT_EQ(result.model_version, "models/m/versions/1");
  EXPECT_EQ(result.report->criteria.bic, result.rows[2]->bic);
  // The best alone is kept.
  const auto version = server_.registry.Resolve("", "models/m").value().version;
  EXPECT_EQ(version->number, 1);
  EXPECT_EQ(version->report, result.report);
  EXPECT_EQ(version->theta.size(), 3u + 6 + 4);
  EXPECT_EQ(
      std::get<GaussianOptions>(std::get<MixtureOptions>(version->options).emission).covariance,
      Covariance::kTied);
}

TEST_F(SweepWorkTest, TellsTheJobOfEveryCandidate) {
  UploadFaithful();
  SweepRequest request = Sweep("faithful", {Mixture(2), Mixture(1), Mixture(3)});
  request.base.options.restarts = 1;
  auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(*work);
  ASSERT_THAT(made, IsOk());
  int last = 0;
  for (const IterationEvent& event : run.Iterations()) {
    EXPECT_GE(event.candidate, last);  // one after another
    last = event.candidate;
  }
  EXPECT_EQ(last, 2);
  const std::vector<CandidateEvent> ended = Candidates(run);
  ASSERT_THAT(ended, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(ended[i].row, std::get<SweepJobResult>(*made).rows[i]);
  }
  const JobProgress progress = run.job.Snapshot().progress;
  EXPECT_EQ(progress.candidates_done, 3);
  EXPECT_EQ(progress.num_candidates, 3);
}

TEST_F(SweepWorkTest, TellsHowManyCandidatesThereAreBeforeTheFirstEnds) {
  UploadFaithful();
  SweepRequest request = Sweep("faithful", {Mixture(2), Mixture(1), Mixture(3)});
  request.base.options.restarts = 1;
  auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
  const WorkRun* started = nullptr;
  std::atomic<bool> seen = false;
  WorkRun run(server_.pool, [&] {
    if (started == nullptr) return absl::UnixEpoch();
    const JobProgress progress = started->job.Snapshot().progress;
    if (progress.candidates_done == 0 && progress.num_candidates == 3) seen = true;
    return absl::UnixEpoch();
  });
  started = &run;
  ASSERT_THAT(run.Run(*work), IsOk());
  EXPECT_TRUE(seen);
}

TEST_F(SweepWorkTest, ChoosesByTheCriterionThatWasAskedFor) {
  UploadFaithful();
  const auto best = [&](SweepCriterion criterion) {
    SweepRequest request = Sweep("faithful", {Mixture(1), Mixture(2), Mixture(3)});
    request.criterion = criterion;
    auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
    WorkRun run(server_.pool, server_.clock.get());
    const auto made = run.Run(*work);
    EXPECT_THAT(made, IsOk());
    EXPECT_EQ(std::get<SweepJobResult>(*made).criterion, criterion);
    return std::get<SweepJobResult>(*made).best;
  };
  EXPECT_EQ(best(SweepCriterion::kBic), 1);
  EXPECT_EQ(best(SweepCriterion::kIcl), 1);
  EXPECT_EQ(best(SweepCriterion::kLogLikelihood), 2);
}

TEST_F(SweepWorkTest, WithoutACriterionTheFamilyDecides) {
  UploadFaithful();
  const auto chosen = [&](std::vector<ModelOptions> models) {
    auto work = MakeSweepWork(Sweep("faithful", std::move(models)), environment(), "job-1").value();
    WorkRun run(server_.pool, server_.clock.get());
    const auto made = run.Run(*work);
    EXPECT_THAT(made, IsOk());
    const auto& result = std::get<SweepJobResult>(*made);
    return std::pair(result.criterion, result.best);
  };
  EXPECT_EQ(chosen({Mixture(1), Mixture(2)}), std::pair(SweepCriterion::kBic, 1));
  EXPECT_EQ(chosen({KMeansOptions{1}, KMeansOptions{3}, KMeansOptions{2}}),
            std::pair(SweepCriterion::kLogLikelihood, 1));
}

TEST_F(SweepWorkTest, ACandidateThatFailsIsARowAndNoMore) {
  UploadCells("d", {"x", "label"}, {1, 0, 2, 0, 3, 1, 10, 1, 11, 2, 12, 2});
  SweepRequest request = Sweep("d", {Mixture(7), Mixture(1), Mixture(3)});
  request.base.source.columns = {"x"};
  request.base.source.label_column = "label";
  auto work = MakeSweepWork(request, environment(), "job-1");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(**work);
  ASSERT_THAT(made, IsOk());
  const auto& rows = std::get<SweepJobResult>(*made).rows;
  EXPECT_THAT(rows[0]->status, FailsWith(kPrecondition, "num_components: got 7"));
  EXPECT_THAT(rows[1]->status, FailsWith(kInvalid, "data.labels[2]: got 1"));
  EXPECT_THAT(rows[2]->status, IsOk());
  EXPECT_EQ(std::get<SweepJobResult>(*made).best, 2);

  // All that can fail at once are refused at once.
  request = Sweep("d", {Mixture(7), Mixture(8)});
  request.base.source.columns = {"x"};
  EXPECT_THAT(SweepRefusal(request), FailsWith(kPrecondition, "base.model.num_components: got 7"));
}

TEST_F(SweepWorkTest, AFitMayFailWhileItRunsToo) {
  SweepRequest request = CollapsingSweep({Mixture(2), Mixture(1)});
  request.base.at_path = [](const absl::Status& status) {
    return absl::Status(status.code(), "job.sweep: " + std::string(status.message()));
  };
  auto work = MakeSweepWork(std::move(request), environment(), "job-1");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(**work);
  ASSERT_THAT(made, IsOk());
  const auto& result = std::get<SweepJobResult>(*made);
  EXPECT_THAT(result.rows[0]->status, FailsWith(kPrecondition, "job.sweep: "));
  EXPECT_EQ(result.rows[0]->num_components, 2);
  EXPECT_THAT(result.rows[1]->status, IsOk());
  EXPECT_EQ(result.best, 1);
}

TEST_F(SweepWorkTest, FailsWhenAllItsCandidatesDo) {
  auto work = MakeSweepWork(CollapsingSweep({Mixture(2), Mixture(3)}), environment(), "job-1");
  ASSERT_THAT(work, IsOk());
  WorkRun run(server_.pool, server_.clock.get());
  EXPECT_THAT(run.Run(**work), FailsWith(kPrecondition, "all 2 candidates failed"));
  EXPECT_THAT(Candidates(run), SizeIs(2));
  EXPECT_THAT(server_.registry.List({}).value().items, IsEmpty());
}

TEST_F(SweepWorkTest, RowsThatFailHaveTheirPathInTheRequest) {
  UploadCells("d", {"x"}, {1, 2, 3, 10, 11, 12});
  SweepRequest request = Sweep("d", {Mixture(7), Mixture(1)});
  request.path = [](size_t candidate, std::string_view) {
    return absl::StrCat("num_components[", candidate, "]");
  };
  request.base.at_path = [](const absl::Status& status) {
    return absl::Status(status.code(), "job.sweep." + std::string(status.message()));
  };
  auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(*work);
  ASSERT_THAT(made, IsOk());
  EXPECT_THAT(std::get<SweepJobResult>(*made).rows[0]->status,
              FailsWith(kPrecondition, "job.sweep.num_components[0]: got 7"));
}

TEST_F(SweepWorkTest, ACandidateThatRunsOutOfMemoryIsARow) {
  UploadFaithful();
  SweepRequest request = Sweep("faithful", {Mixture(1), Mixture(2)});
  auto asked = std::make_shared<int>(0);
  request.candidate = [asked](size_t i) -> absl::StatusOr<SweepCandidate> {
    if (i == 1 && ++*asked > 1) throw std::bad_alloc();  // when it runs
    return SweepCandidate{Mixture(static_cast<int>(i) + 1), std::nullopt};
  };
  auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
  WorkRun run(server_.pool, server_.clock.get());
  const auto made = run.Run(*work);
  ASSERT_THAT(made, IsOk());
  const auto& rows = std::get<SweepJobResult>(*made).rows;
  EXPECT_THAT(rows[0]->status, IsOk());
  EXPECT_THAT(rows[1]->status,
              FailsWith(absl::StatusCode::kResourceExhausted, "more memory than there is"));
}

// A thousand candidates with large constraints hold no more than one of them.
TEST_F(SweepWorkTest, HoldsOneCandidateAtATime) {
  UploadFaithful();
  const auto held = [&](size_t number) {
    SweepRequest request = Sweep("faithful", std::vector<ModelOptions>(number, Mixture(2)));
    request.base.options_bytes = 1'000'000;
    request.base.spec = std::string(1'000'000, 's');
    return MakeSweepWork(std::move(request), environment(), "job-1").value()->held_bytes();
  };
  EXPECT_GE(held(1), 2'000'000);
  EXPECT_LE(held(50), held(1) + 50'000);
}

TEST_F(SweepWorkTest, CancelledInTheMiddleItLeavesNothing) {
  const emserve::testing::Data data = emserve::testing::Blobs(20000, 2, 3, 1, 5);
  UploadCells("d", {"x", "y"}, data.values);
  SweepRequest request = Sweep("d", {Mixture(1), Mixture(2), Mixture(3)});
  request.base.options.relative_tolerance = 0;
  request.base.options.restarts = 1;
  request.base.options.max_iterations = std::numeric_limits<int64_t>::max();
  auto work = MakeSweepWork(std::move(request), environment(), "job-1").value();
  std::atomic<int> asked = 0;
  WorkRun* started = nullptr;
  WorkRun run(server_.pool, [&] {
    if (++asked > 30 && started != nullptr) started->stop.request_stop();
    return absl::UnixEpoch();
  });
  started = &run;
  EXPECT_THAT(run.Run(*work), FailsWith(absl::StatusCode::kCancelled, ""));
  EXPECT_THAT(server_.registry.List({}).value().items, IsEmpty());
}

TEST_F(SweepWorkTest, RefusesWhatNoCandidateCanMend) {
  UploadFaithful();
  const auto refused = [&](const char* text, auto spoil) {
    SweepRequest request = Sweep("faithful", {Mixture(1), Mixture(2)});
    spoil(request);
    const absl::Status status = SweepRefusal(std::move(request));
    EXPECT_THAT(status, FailsWith(kInvalid, text));
    EXPECT_TRUE(std::string(status.message()).starts_with(text)) << status;
  };
  refused("base.start: got a given start", [](auto& r) {
    r.base.options.start = StartMethod::kGiven;
    r.base.start_model = "models/m";
  });
  refused("base.restarts: got 0", [](auto& r) { r.base.options.restarts = 0; });
  refused("base.columns[0]: got \"z\"", [](auto& r) { r.base.source.columns = {"z"}; });
  refused("base.model.num_components: got 0", [](auto& r) {
    SetCandidates(r, {Mixture(1), Mixture(0)});
  });
  refused("num_components[1]: got 0", [](auto& r) {
    SetCandidates(r, {Mixture(1), Mixture(0)});
    r.path = [](size_t candidate, std::string_view path) {
      EXPECT_EQ(path, "model.num_components");
      return absl::StrCat("num_components[", candidate, "]");
    };
  });
  refused("num_components: got 0 candidates", [](auto& r) { r.num_candidates = 0; });
  refused("criterion: got an information criterion with kmeans", [](auto& r) {
    SetCandidates(r, {KMeansOptions{2}});
    r.criterion = SweepCriterion::kBic;
  });
}

TEST_F(SweepWorkTest, CountsTheCandidateThatNeedsMost) {
  UploadFaithful();
  const auto bytes = [&](std::vector<ModelOptions> models) {
    return MakeSweepWork(Sweep("faithful", std::move(models)), environment(), "job-1")
        .value()
        ->working_bytes();
  };
  EXPECT_GT(bytes({Mixture(1), Mixture(100)}), bytes({Mixture(1), Mixture(2)}));
  EXPECT_EQ(bytes({Mixture(1), Mixture(100)}), bytes({Mixture(100)}));
}

}  // namespace
}  // namespace emserve::server
