#include "client/emctl/jobs.h"

#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/summary.h"
#include "client/emctl/sweep.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "proto/wire/model_spec.h"

namespace emserve::emctl {
namespace {

// Shows events as they come, and keeps the warnings.
class EventDisplay {
 public:
  explicit EventDisplay(Session& session) : session_(session) {}

  void Show(const v1::JobEvent& event) {
    if (event.has_iteration()) {
      const v1::IterationEvent& iteration = event.iteration();
      const std::string text = lines_.Format(iteration);
      if (session_.line().is_terminal()) {
        session_.line().Draw(text);
      } else if (iteration.has_candidate()) {
        return;  // a sweep shows its candidates
      } else if (lines_.IsWorthALine(iteration, absl::Now())) {
        session_.Note(text);
        unprinted_.clear();
        return;
      }
      unprinted_ = text;
    } else if (event.has_candidate()) {
      session_.Note(CandidateLine(event.candidate().row()));
      unprinted_.clear();
    } else if (event.has_warning()) {
      // Thousands of restarts can bring thousands; the result has them all.
      constexpr size_t kMostShown = 10;
      if (warnings_.size() < kMostShown) session_.Note(WarningLine(event.warning()));
      warnings_.push_back(event.warning());
    } else if (event.has_state_change()) {
      // The last iteration stays to be seen.
      if (client::HasEnded(event.state_change().state()) && !unprinted_.empty()) {
        session_.Note(unprinted_);
        unprinted_.clear();
      }
      if (event.state_change().state() == v1::JOB_STATE_PENDING) {
        session_.line().Draw("waiting in the queue", true);
      }
    }
  }

  std::vector<v1::WarningEvent> TakeWarnings() { return std::move(warnings_); }

 private:
  Session& session_;
  IterationLines lines_;
  std::string unprinted_;
  std::vector<v1::WarningEvent> warnings_;
};

std::string KindOf(const v1::Job& job) {
  if (job.has_fit()) return "fit";
  if (job.has_sweep()) return "sweep";
  return job.has_predict() ? "predict" : "";
}

// What it makes, or would make.
std::string ResultOf(const v1::Job& job) {
  if (job.has_fit_result()) return job.fit_result().model_version();
  if (job.has_predict_result()) return job.predict_result().dataset();
  if (job.has_sweep_result()) return job.sweep_result().model_version();
  return std::string(job.error().message());
}

// The version that a fit or sweep made.
const std::string& VersionOf(const v1::Job& job) {
  return job.has_sweep_result() ? job.sweep_result().model_version()
                                : job.fit_result().model_version();
}

// What the best candidate of a sweep was: a combination, of which its row tells the parts.
v1::FitSpec BestOf(const v1::Job& job) {
  const v1::SweepSpec& sweep = job.sweep();
  v1::FitSpec spec = sweep.base();
  const int best = job.sweep_result().best();
  if (best < 0 || best >= job.sweep_result().rows_size()) return spec;
  const v1::SweepRow& row = job.sweep_result().rows(best);
  v1::ModelSpec& model = *spec.mutable_model();
  SetNumComponents(row.num_components(), model);
  if (model.has_kmeans()) return spec;
  v1::EmissionSpec& emission = MutableEmissionOf(model);
  if (row.has_emission() && row.emission() >= 0 && row.emission() < sweep.emissions_size()) {
    emission = sweep.emissions(row.emission());
  }
  if (emission.has_gaussian()) emission.mutable_gaussian()->set_covariance(row.covariance());
  if (emission.has_student_t()) emission.mutable_student_t()->set_covariance(row.covariance());
  return spec;
}

// What is left in its job of a version that is gone: no parameters.
v1::ModelVersion DeletedVersion(const v1::Job& job) {
  v1::ModelVersion version;
  version.set_name(VersionOf(job));
  version.set_job(job.name());
  *version.mutable_spec() = job.has_sweep() ? BestOf(job) : job.fit();
  *version.mutable_report() =
      job.has_sweep_result() ? job.sweep_result().report() : job.fit_result().report();
  return version;
}

std::string KindText(const v1::Job& job) {
  if (job.has_fit()) return DescribeSpec(job.fit().model());
  if (!job.has_sweep()) return KindOf(job);
  return absl::StrCat("sweep around ", DescribeSpec(job.sweep().base().model()));
}

const std::string& DatasetOf(const v1::Job& job) {
  if (job.has_fit()) return job.fit().dataset();
  return job.has_sweep() ? job.sweep().base().dataset() : job.predict().dataset();
}

// The names that labels had in the job's data, while it is still there.
std::vector<std::string> LabelNames(client::Client& client, const v1::Job& job) {
  const v1::FitSpec& spec = job.has_sweep() ? job.sweep().base() : job.fit();
  if (spec.label_column().empty() || spec.dataset().empty()) return {};
  const absl::StatusOr<v1::Dataset> dataset = client.GetDataset(spec.dataset());
  if (!dataset.ok()) return {};
  for (const v1::Column& column : dataset->columns()) {
    if (column.name() != spec.label_column()) continue;
    return {column.levels().begin(), column.levels().end()};
  }
  return {};
}

std::optional<v1::JobState> ParseState(const std::string& word) {
  for (int value = v1::JobState_MIN; value <= v1::JobState_MAX; ++value) {
    if (value != 0 && StateWord(static_cast<v1::JobState>(value)) == word) {
      return static_cast<v1::JobState>(value);
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<FinishedJob> FollowJob(Session& session, const std::string& name,
                                      OnInterrupt on_interrupt) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  EventDisplay display(session);
  std::stop_source stop;
  absl::StatusOr<v1::Job> job;
  {
    const Interrupts::Handler handler(session.interrupts(), [&] {
      if (on_interrupt == OnInterrupt::kStopWatching) {
        stop.request_stop();
        return;
      }
      // If it cannot be cancelled because it has just ended, the watch shows how.
      (*client)->CancelJob(name).status().IgnoreError();
    });
    job = (*client)->Watch(
        name, {.on_event = [&display](const v1::JobEvent& event) { display.Show(event); },
               .stop = stop.get_token()});
  }
  session.line().Clear();
  if (!job.ok()) {
    if (!stop.stop_requested()) return job.status();
    return absl::CancelledError(absl::StrCat("stopped watching ", name, ", which goes on"));
  }
  if (absl::Status failure = JobFailure(*job); !failure.ok()) return failure;
  return FinishedJob{.job = *std::move(job), .warnings = display.TakeWarnings()};
}

absl::Status PrintResult(Session& session, const FinishedJob& finished) {
  const v1::Job& job = finished.job;
  if (job.has_predict_result()) {
    const v1::PredictResult& result = job.predict_result();
    if (session.json()) {
      return session.PrintJson(Json{{"job", job.name()},
                                    {"model_version", result.model_version()},
                                    {"dataset", result.dataset()}});
    }
    return session.Print(absl::StrCat(Printable(result.dataset()), " holds the predictions of ",
                                      Printable(result.model_version()), "\n"));
  }
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<v1::ModelVersion> version = (*client)->GetModelVersion(VersionOf(job));
  if (absl::IsNotFound(version.status())) {
    session.Note(
        absl::StrCat(VersionOf(job), " was deleted; this is what the job still knows of it"));
    version = DeletedVersion(job);
  }
  if (!version.ok()) return version.status();
  const std::vector<std::string> labels =
      finished.label_names.empty() ? LabelNames(**client, job) : finished.label_names;
  if (job.has_sweep_result()) {
    if (session.json()) {
      return session.PrintJson(SweepDocument(job, *version, finished.warnings, labels));
    }
    return session.Print(absl::StrCat(SweepTable(job.sweep_result()), "\n",
                                      Summary(*version, finished.warnings, labels)));
  }
  if (session.json()) return session.PrintJson(FitDocument(*version, finished.warnings, labels));
  return session.Print(Summary(*version, finished.warnings, labels));
}

absl::Status PrintDetached(Session& session, const v1::Job& job) {
  if (session.json()) {
    return session.PrintJson(Json{{"job", job.name()}, {"state", StateWord(job.state())}});
  }
  session.Note(absl::StrCat("follow it with: emctl jobs watch ", ResourceId("jobs", job.name())));
  return session.Print(job.name() + "\n");
}

absl::Status ListJobs(Session& session, int64_t limit, const std::vector<std::string>& states) {
  std::vector<v1::JobState> wanted;
  for (const std::string& word : states) {
    const std::optional<v1::JobState> state = ParseState(word);
    if (!state.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--state: got ", word,
                       ", must be pending, running, cancelling, succeeded, failed or cancelled"));
    }
    wanted.push_back(*state);
  }
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Job>> jobs = (*client)->ListJobs(limit, wanted);
  if (!jobs.ok()) return jobs.status();
  if (session.json()) {
    Json list = Json::array();
    for (const v1::Job& job : *jobs) list.push_back(ToJson(job));
    return session.PrintJson(Json{{"jobs", std::move(list)}});
  }
  TextTable table("lllll");
  table.Add({"NAME", "KIND", "STATE", "CREATED", "RESULT"});
  for (const v1::Job& job : *jobs) {
    table.Add({Printable(job.name()), KindOf(job), StateWord(job.state()),
               FormatTime(job.create_time()), Printable(ResultOf(job))});
  }
  return session.Print(table.ToString());
}

absl::Status GetJob(Session& session, const std::string& job_name) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Job> job = (*client)->GetJob(ResourceName("jobs", job_name));
  if (!job.ok()) return job.status();
  if (session.json()) return session.PrintJson(ToJson(*job));
  TextTable table("ll");
  table.Add({"job", Printable(job->name())});
  table.Add({"kind", KindText(*job)});
  table.Add({"state", StateWord(job->state())});
  table.Add({"data", Printable(DatasetOf(*job))});
  table.Add({"created", FormatTime(job->create_time())});
  if (job->has_start_time()) table.Add({"started", FormatTime(job->start_time())});
  if (job->has_end_time()) table.Add({"ended", FormatTime(job->end_time())});
  if (job->has_progress() && !job->has_predict() && !client::HasEnded(job->state())) {
    if (job->has_sweep()) {
      table.Add({"candidates", absl::StrCat(job->progress().candidates_done(), " of ",
                                            job->progress().num_candidates())});
    }
    table.Add({"progress", absl::StrCat("restart ", job->progress().restart(), ", iteration ",
                                        job->progress().iteration(), ", objective ",
                                        Fixed(job->progress().objective()))});
  }
  if (job->has_progress() && job->has_predict()) {
    table.Add({"progress", absl::StrCat(job->progress().rows_done(), " of ",
                                        job->progress().num_rows(), " rows")});
  }
  if (job->has_fit_result()) {
    table.Add({"log-likelihood", Fixed(job->fit_result().report().log_likelihood())});
  }
  if (job->has_sweep_result()) {
    table.Add({"best", absl::StrCat("candidate ", job->sweep_result().best())});
  }
  if (const std::string result = ResultOf(*job); !result.empty()) {
    table.Add({job->has_error() ? "error" : "result", Printable(result)});
  }
  return session.Print(table.ToString());
}

absl::Status WatchJob(Session& session, const std::string& job) {
  const absl::StatusOr<FinishedJob> finished =
      FollowJob(session, ResourceName("jobs", job), OnInterrupt::kStopWatching);
  if (!finished.ok()) return finished.status();
  return PrintResult(session, *finished);
}

absl::Status CancelJobs(Session& session, const std::vector<std::string>& jobs) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  Json list = Json::array();
  for (const std::string& name : jobs) {
    const absl::StatusOr<v1::Job> job = (*client)->CancelJob(ResourceName("jobs", name));
    if (!job.ok()) return job.status();
    list.push_back({{"name", job->name()}, {"state", StateWord(job->state())}});
    session.Note(absl::StrCat(job->name(), " is ", StateWord(job->state())));
  }
  return session.json() ? session.PrintJson(Json{{"jobs", std::move(list)}}) : absl::OkStatus();
}

absl::Status DeleteJobs(Session& session, const std::vector<std::string>& jobs) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  Json list = Json::array();
  for (const std::string& job : jobs) {
    const std::string name = ResourceName("jobs", job);
    if (absl::Status status = (*client)->DeleteJob(name); !status.ok()) return status;
    list.push_back(name);
    session.Note(absl::StrCat("deleted ", name));
  }
  return session.json() ? session.PrintJson(Json{{"deleted", std::move(list)}}) : absl::OkStatus();
}

}  // namespace emserve::emctl
