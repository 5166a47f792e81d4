#include "client/emctl/fit.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/csv.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/jobs.h"
#include "client/emctl/words.h"

namespace emserve::emctl {
namespace {

// The part of the request that does not depend on the family.
absl::StatusOr<v1::CreateJobRequest> JobRequest(const FitOptions& options) {
  v1::CreateJobRequest request;
  v1::FitSpec& fit = *request.mutable_job()->mutable_fit();
  if (options.data.empty() == options.dataset.empty()) {
    return absl::InvalidArgumentError("--data, --dataset: must be given, one of them");
  }
  if (!options.start_model.empty() && options.start != v1::START_METHOD_UNSPECIFIED) {
    return absl::InvalidArgumentError("--start, --start-model: got both, must be one of them");
  }
  if (!options.columns.empty()) {
    absl::StatusOr<std::vector<std::string>> columns = client::SplitCsvRecord(options.columns);
    if (!columns.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("--columns: ", columns.status().message()));
    }
    for (std::string& name : *columns) fit.add_columns(std::move(name));
  }
  fit.set_weight_column(options.weights_column);
  if (options.seed.has_value()) fit.set_seed(*options.seed);
  if (options.restarts.has_value()) fit.set_restarts(*options.restarts);
  if (options.start != v1::START_METHOD_UNSPECIFIED) {
    fit.mutable_start()->set_method(options.start);
  }
  if (!options.start_model.empty()) {
    fit.mutable_start()->set_model(ResourceName("models", options.start_model));
  }
  v1::Stopping& stopping = *fit.mutable_stopping();
  if (options.max_iterations.has_value()) stopping.set_max_iterations(*options.max_iterations);
  if (options.tolerance.has_value()) stopping.set_relative_tolerance(*options.tolerance);
  if (options.absolute_tolerance.has_value()) {
    stopping.set_absolute_tolerance(*options.absolute_tolerance);
  }
  if (options.time_budget.has_value())
    *stopping.mutable_time_budget() = ToProto(*options.time_budget);
  if (options.timeout.has_value())
    *request.mutable_job()->mutable_timeout() = ToProto(*options.timeout);
  fit.set_model_id(options.model.empty() ? "" : ResourceId("models", options.model));
  return request;
}

// The columns to read from the file: those to model and the weights.
std::vector<std::string> ColumnsToRead(const v1::FitSpec& fit) {
  std::vector<std::string> columns(fit.columns().begin(), fit.columns().end());
  const std::string& weights = fit.weight_column();
  if (!columns.empty() && !weights.empty() &&
      std::find(columns.begin(), columns.end(), weights) == columns.end()) {
    columns.push_back(weights);
  }
  return columns;
}

absl::Status SubmitAndFollow(Session& session, const v1::CreateJobRequest& request,
                             const std::string& temporary_dataset, bool detach) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Job> job = (*client)->CreateJob(request);
  // The job keeps what it uses, and the name would only fill the server's memory.
  if (!temporary_dataset.empty()) (*client)->DeleteDataset(temporary_dataset).IgnoreError();
  if (!job.ok()) return DataRefused(job.status());
  if (detach) return PrintDetached(session, *job);
  const absl::StatusOr<FinishedJob> finished =
      FollowJob(session, job->name(), OnInterrupt::kCancelJob);
  if (!finished.ok()) return finished.status();
  return PrintResult(session, *finished);
}

}  // namespace

absl::Status FitGaussianMixture(Session& session, const FitOptions& options) {
  absl::StatusOr<v1::CreateJobRequest> request = JobRequest(options);
  if (!request.ok()) return request.status();
  v1::FitSpec& fit = *request->mutable_job()->mutable_fit();
  v1::MixtureSpec& mixture = *fit.mutable_model()->mutable_mixture();
  if (options.components.has_value()) mixture.set_num_components(*options.components);
  v1::GaussianEmission& gaussian = *mixture.mutable_emission()->mutable_gaussian();
  gaussian.set_covariance(options.covariance);
  if (options.ridge.has_value()) gaussian.set_ridge(*options.ridge);

  if (!options.dataset.empty()) {
    fit.set_dataset(ResourceName("datasets", options.dataset));
    return SubmitAndFollow(session, *request, "", options.detach);
  }
  client::DataFileOptions reading = options.reading;
  reading.columns = ColumnsToRead(fit);
  const absl::StatusOr<client::DataFile> file = ReadData(session, options.data, reading);
  if (!file.ok()) return file.status();
  // Before the upload, and while the line of each row is known.
  if (!file->finite.ok()) return file->finite;
  const absl::StatusOr<v1::Dataset> dataset =
      UploadTable(session, file->table,
                  {.dataset_id = options.keep.empty() ? "" : ResourceId("datasets", options.keep),
                   .description = options.data},
                  absl::StrCat("uploading ", options.data));
  if (!dataset.ok()) return dataset.status();
  fit.set_dataset(dataset->name());
  return SubmitAndFollow(session, *request, options.keep.empty() ? dataset->name() : "",
                         options.detach);
}

}  // namespace emserve::emctl
