#include "server/jobs/fit_work.h"

#include <utility>

#include "server/names.h"

namespace emserve::server {
namespace {

class FitWork final : public Work {
 public:
  FitWork(FitPlan plan, FitData data, ModelRegistry& registry, std::string model_id,
          std::string job_id, PathMapper at_path)
      : plan_(std::move(plan)),
        data_(std::move(data)),
        registry_(registry),
        model_id_(std::move(model_id)),
        job_id_(std::move(job_id)),
        at_path_(std::move(at_path)) {}

  int64_t held_bytes() const override { return data_.held_bytes() + plan_.held_bytes(); }
  int64_t working_bytes() const override { return plan_.working_bytes(); }

  absl::StatusOr<JobResult> Run(JobContext& context) override {
    absl::StatusOr<FitJobResult> result = Fit(context);
    if (!result.ok()) return AtPath(at_path_, result.status());
    return *std::move(result);
  }

 private:
  absl::StatusOr<FitJobResult> Fit(JobContext& context) {
    absl::StatusOr<FittedModel> fitted = plan_.Run(context);
    if (!fitted.ok()) return fitted.status();
    absl::StatusOr<ModelVersion> version = plan_.ToVersion(*std::move(fitted), data_, job_id_);
    if (!version.ok()) return version.status();
    absl::StatusOr<ResolvedVersion> kept = registry_.Add(model_id_, *std::move(version));
    if (!kept.ok()) return kept.status();
    return FitJobResult{kept->version->name(), kept->version->report};
  }

  const FitPlan plan_;
  const FitData data_;
  ModelRegistry& registry_;
  const std::string model_id_;
  const std::string job_id_;
  const PathMapper at_path_;
};

absl::StatusOr<std::unique_ptr<Work>> Make(FitRequest request, const FitEnvironment& environment,
                                           const std::string& job_id) {
  absl::Status status =
      request.model_id.empty() ? absl::OkStatus() : CheckId("model_id", request.model_id);
  if (status.ok()) status = CheckFitRequest(request);
  if (!status.ok()) return status;
  absl::StatusOr<FitData> data = FindData(std::move(request.source), *environment.datasets);
  if (!data.ok()) return data.status();
  PathMapper at_path = request.at_path;
  absl::StatusOr<FitPlan> plan = FitPlan::Make(std::move(request), *data, environment);
  if (!plan.ok()) return plan.status();
  status = plan->CheckRows(*environment.pool, environment.stop);
  if (!status.ok()) return status;
  std::string model_id = plan->model_id().empty() ? job_id : plan->model_id();
  status = environment.registry->CheckRoom(model_id, plan->num_numbers());
  if (!status.ok()) return status;
  return std::make_unique<FitWork>(*std::move(plan), *std::move(data), *environment.registry,
                                   std::move(model_id), job_id, std::move(at_path));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Work>> MakeFitWork(FitRequest request,
                                                  const FitEnvironment& environment,
                                                  const std::string& job_id) {
  const PathMapper at_path = request.at_path;
  absl::StatusOr<std::unique_ptr<Work>> work = Make(std::move(request), environment, job_id);
  if (!work.ok()) return AtPath(at_path, work.status());
  return work;
}

}  // namespace emserve::server
