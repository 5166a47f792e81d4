#include "server/jobs/sweep_work.h"

#include <algorithm>
#include <map>
#include <new>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/jobs/capabilities.h"
#include "server/names.h"

namespace emserve::server {
namespace {

// What the best candidate has least of.
double Badness(const SweepRow& row, SweepCriterion criterion) {
  switch (criterion) {
    case SweepCriterion::kAic:
      return *row.aic;
    case SweepCriterion::kIcl:
      return *row.icl;
    case SweepCriterion::kLogLikelihood:
      return -row.log_likelihood;
    case SweepCriterion::kBic:
      break;
  }
  return *row.bic;
}

// A fit that ended with a variance at its floor has found no maximum: its figures say little, and
// it loses against any that has.
bool IsBetter(const SweepRow& row, const SweepRow& than, SweepCriterion criterion) {
  if (row.degenerate != than.degenerate) return than.degenerate;
  return Badness(row, criterion) < Badness(than, criterion);
}

// What tells `candidate` apart.
SweepRow RowOf(size_t number, const SweepCandidate& candidate) {
  SweepRow row;
  row.candidate = static_cast<int>(number);
  row.num_components = NumberOf(candidate.model).value;
  row.family = FamilyName(candidate.model);
  row.emission = candidate.emission;
  if (const EmissionOptions* const whole = EmissionOf(candidate.model)) {
    std::visit(
        [&row](const auto& emission) {
          if constexpr (requires { emission.covariance; }) row.covariance = emission.covariance;
        },
        *whole);
  }
  return row;
}

// What a fit found, in its row.
void Fill(const FittedModel& fitted, SweepRow& row) {
  row.objective = fitted.fit.objective;
  row.log_likelihood = fitted.fit.log_likelihood;
  row.degrees_of_freedom = fitted.criteria.degrees_of_freedom;
  row.aic = fitted.criteria.aic;
  row.bic = fitted.criteria.bic;
  row.icl = fitted.criteria.icl;
  row.relative_entropy = fitted.criteria.relative_entropy;
  row.termination = fitted.fit.best.termination;
  row.degenerate = fitted.fit.optima.front().degenerate;  // that of the best
  row.message = fitted.fit.best.message;
  row.total_iterations = fitted.fit.total_iterations;
}

absl::Status AllFailed(size_t number, const absl::Status& first) {
  return Reworded(first, absl::StrCat(std::string(first.message()), " (all ", number,
                                      " candidates failed; this is the first)"));
}

// `status` with its field's path in the SweepSpec; rows of the data have none.
absl::Status InSpec(const absl::Status& status, const SweepRequest& request, size_t candidate) {
  const std::string message(status.message());
  const std::string path(PathOf(message));
  if (status.ok() || path.size() == message.size() || path.starts_with("data")) return status;
  const std::string field =
      request.path == nullptr ? absl::StrCat("base.", path) : request.path(candidate, path);
  return Reworded(status, absl::StrCat(field, message.substr(path.size())));
}

// A candidate's plan with what tells it apart.
struct Candidate {
  SweepRow row;
  absl::StatusOr<FitPlan> plan = absl::InternalError("not made");
};

absl::StatusOr<Candidate> Plan(const SweepRequest& request, size_t number, FitData& data,
                               const FitEnvironment& environment) {
  absl::StatusOr<SweepCandidate> made = request.candidate(number);
  if (!made.ok()) return made.status();
  Candidate candidate{.row = RowOf(number, *made)};
  FitRequest fit = request.base;
  fit.model = std::move(made->model);
  if (request.model_field != nullptr) {
    fit.model_field = [field = request.model_field, number](std::string_view name) {
      return field(number, name);
    };
  }
  candidate.plan = FitPlan::Make(std::move(fit), data, environment);
  return candidate;
}

// Holds one candidate's plan at a time, beside the best one's.
class SweepWork final : public Work {
 public:
  struct Figures {
    int64_t held_bytes = 0;  // of the candidate that holds most
    int64_t working_bytes = 0;
    int64_t num_numbers = 0;
  };

  // `rows` are those of the candidates as they are before they run: with an error for those that
  // fail for sure.
  SweepWork(SweepRequest request, const FitEnvironment& environment, std::vector<SweepRow> rows,
            FitData data, std::string model_id, std::string job_id, Figures most)
      : request_(std::move(request)),
        environment_(environment),
        rows_(std::move(rows)),
        data_(std::move(data)),
        model_id_(std::move(model_id)),
        job_id_(std::move(job_id)),
        most_(most) {}

  int64_t held_bytes() const override {
    return data_.held_bytes() + most_.held_bytes +
           static_cast<int64_t>(rows_.size() * sizeof(SweepRow));
  }

  // Of the candidate that needs most, beside the best so far.
  int64_t working_bytes() const override {
    return most_.working_bytes + most_.held_bytes +
           most_.num_numbers * static_cast<int64_t>(sizeof(double));
  }

  absl::StatusOr<JobResult> Run(JobContext& context) override {
    context.ReportCandidates(static_cast<int>(rows_.size()));
    FitEnvironment environment = environment_;
    environment.stop = context.stop();
    SweepJobResult result;
    result.criterion = *request_.criterion;
    std::optional<Fitted> best;
    for (size_t i = 0; i < rows_.size(); ++i) {
      absl::StatusOr<Fitted> fitted = RunOne(i, environment, context);
      if (context.stop().stop_requested()) return absl::CancelledError("the sweep was cancelled");
      auto row = std::make_shared<SweepRow>(rows_[i]);
      if (fitted.ok()) {
        Fill(fitted->model, *row);
      } else {
        row->status = AtPath(request_.base.at_path, InSpec(fitted.status(), request_, i));
      }
      result.rows.push_back(row);
      context.ReportCandidate({row});
      if (!fitted.ok()) continue;
      if (best.has_value() &&
          !IsBetter(*row, *result.rows[static_cast<size_t>(result.best)], result.criterion)) {
        continue;
      }
      best = *std::move(fitted);
      result.best = static_cast<int>(i);
    }
    if (!best.has_value()) return AllFailed(rows_.size(), result.rows.front()->status);

    absl::StatusOr<ModelVersion> version =
        best->plan.ToVersion(std::move(best->model), data_, job_id_);
    if (!version.ok()) return version.status();
    const absl::StatusOr<ResolvedVersion> kept =
        environment_.registry->Add(model_id_, *std::move(version));
    if (!kept.ok()) return kept.status();
    result.model_version = kept->version->name();
    result.report = kept->version->report;
    return result;
  }

 private:
  struct Fitted {
    FitPlan plan;
    FittedModel model;
  };

  // The others may need less memory.
  absl::StatusOr<Fitted> RunOne(size_t i, const FitEnvironment& environment, JobContext& context) {
    if (!rows_[i].status.ok()) return rows_[i].status;
    try {
      absl::StatusOr<Candidate> candidate = Plan(request_, i, data_, environment);
      if (!candidate.ok()) return candidate.status();
      if (!candidate->plan.ok()) return candidate->plan.status();
      absl::StatusOr<FittedModel> fitted = candidate->plan->Run(context, static_cast<int>(i));
      if (!fitted.ok()) return fitted.status();
      return Fitted{*std::move(candidate->plan), *std::move(fitted)};
    } catch (const std::bad_alloc&) {
      return RanOutOfMemory();
    }
  }

  const SweepRequest request_;
  const FitEnvironment environment_;
  const std::vector<SweepRow> rows_;
  FitData data_;
  const std::string model_id_;
  const std::string job_id_;
  const Figures most_;
};

// Whether a candidate may fail so without the sweep being wrong.
bool IsOfData(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) ||
         (absl::IsInvalidArgument(status) && status.message().substr(0, 4) == "data");
}

// Criteria need a likelihood. Decides what is left open by the first candidate: all have one, or
// none.
absl::Status CheckCriterion(const SweepRow& row, std::optional<SweepCriterion>& criterion) {
  const bool has = HasCapability(row.family, "criteria");
  if (!criterion.has_value()) {
    criterion = has ? SweepCriterion::kBic : SweepCriterion::kLogLikelihood;
  }
  if (has || *criterion == SweepCriterion::kLogLikelihood) return absl::OkStatus();
  return InvalidArgument(
      "criterion", absl::StrCat("got an information criterion with ", std::string(row.family),
                                ", which has no likelihood; must be log-likelihood or absent"));
}

absl::Status UnderBase(const absl::Status& status) {
  if (status.ok() || absl::IsNotFound(status)) return status;
  return Reworded(status, absl::StrCat("base.", std::string(status.message())));
}

absl::StatusOr<std::unique_ptr<Work>> Make(SweepRequest request, const FitEnvironment& environment,
                                           const std::string& job_id) {
  FitRequest& base = request.base;
  std::string model_id = base.model_id.empty() ? job_id : base.model_id;
  if (absl::Status status = CheckId("base.model_id", model_id); !status.ok()) return status;
  if (base.options.start == StartMethod::kGiven ||
      base.options.start == StartMethod::kResponsibilities) {
    return InvalidArgument("base.start",
                           "got a given start, must be a method: candidates differ in parameters");
  }
  if (request.num_candidates == 0 || request.num_candidates > kMaxCandidates) {
    return InvalidArgument(
        "num_components",
        absl::StrCat("got ", request.num_candidates, " candidates, must be 1 to ", kMaxCandidates));
  }
  if (absl::Status status = CheckFitRequest(base); !status.ok()) return UnderBase(status);
  absl::StatusOr<FitData> data = FindData(std::move(base.source), *environment.datasets);
  if (!data.ok()) return UnderBase(data.status());

  std::vector<SweepRow> rows;
  SweepWork::Figures most;
  bool any = false;
  std::map<std::optional<int>, absl::Status> rows_of;  // by emission
  for (size_t i = 0; i < request.num_candidates; ++i) {
    absl::StatusOr<Candidate> candidate = Plan(request, i, *data, environment);
    if (!candidate.ok()) return candidate.status();
    absl::Status status = CheckCriterion(candidate->row, request.criterion);
    if (!status.ok()) return status;
    status = candidate->plan.status();
    if (status.ok()) {
      // Once for each emission.
      const auto [checked, first] = rows_of.try_emplace(candidate->row.emission);
      if (first) checked->second = candidate->plan->CheckRows(*environment.pool, environment.stop);
      status = checked->second;
    }
    if (!status.ok() && !IsOfData(status)) return InSpec(status, request, i);
    if (status.ok()) {
      any = true;
      const FitPlan& plan = *candidate->plan;
      most.held_bytes = std::max(most.held_bytes, plan.held_bytes());
      most.working_bytes = std::max(most.working_bytes, plan.working_bytes());
      most.num_numbers = std::max(most.num_numbers, plan.num_numbers());
    }
    rows.push_back(std::move(candidate->row));
    rows.back().status = std::move(status);
  }
  if (!any) return AllFailed(rows.size(), InSpec(rows.front().status, request, 0));
  absl::Status room = environment.registry->CheckRoom(model_id, most.num_numbers);
  if (!room.ok()) return room;
  return std::make_unique<SweepWork>(std::move(request), environment, std::move(rows),
                                     *std::move(data), std::move(model_id), job_id, most);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> MakeSweepWork(SweepRequest request,
                                                    const FitEnvironment& environment,
                                                    const std::string& job_id) {
  const PathMapper at_path = request.base.at_path;
  absl::StatusOr<std::unique_ptr<Work>> work = Make(std::move(request), environment, job_id);
  if (!work.ok()) return AtPath(at_path, work.status());
  return work;
}

}  // namespace emserve::server
