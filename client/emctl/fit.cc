#include "client/emctl/fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/jobs.h"
#include "client/emctl/words.h"

namespace emserve::emctl {
namespace {

// The table's columns as the server will know them, with the codes that the cells have.
std::vector<v1::Column> ColumnsOf(const client::Table& table) {
  std::vector<v1::Column> columns(table.columns.size());
  for (size_t c = 0; c < columns.size(); ++c) {
    columns[c].set_name(table.columns[c]);
    if (c < table.levels.size()) {
      columns[c].mutable_levels()->Add(table.levels[c].begin(), table.levels[c].end());
    }
    bool any = false;
    v1::ColumnSummary& summary = *columns[c].mutable_summary();
    for (size_t i = c; i < table.values.size(); i += columns.size()) {
      const double cell = table.values[i];
      if (!std::isfinite(cell)) continue;
      summary.set_minimum(any ? std::min(summary.minimum(), cell) : cell);
      summary.set_maximum(any ? std::max(summary.maximum(), cell) : cell);
      any = true;
    }
  }
  return columns;
}

// A start from a stored model keeps that model's numbers for the names of categories.
absl::Status UseLevelsOfStart(Session& session, const v1::FitSpec& spec,
                              client::DataFileOptions& reading) {
  if (!spec.start().has_model()) return absl::OkStatus();
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ModelVersion> version = (*client)->GetModelVersion(spec.start().model());
  if (!version.ok()) return version.status();
  for (const v1::Column& column : version->columns()) {
    if (column.levels_size() == 0) continue;
    reading.levels[column.name()] = {column.levels().begin(), column.levels().end()};
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreparedData> PrepareData(Session& session, const FitOptions& options,
                                         v1::FitSpec& spec) {
  const bool has_constraints = !options.fix.empty() || !options.tie.empty();
  if (!options.dataset.empty()) {
    spec.set_dataset(ResourceName("datasets", options.dataset));
    if (has_constraints) {
      const absl::StatusOr<client::Client*> client = session.Connect();
      if (!client.ok()) return client.status();
      const absl::StatusOr<v1::Dataset> dataset = (*client)->GetDataset(spec.dataset());
      if (!dataset.ok()) return dataset.status();
      const absl::Status status =
          AddConstraints(options, {dataset->columns().begin(), dataset->columns().end()}, spec);
      if (!status.ok()) return status;
    }
    return PreparedData();
  }
  client::DataFileOptions reading = ReadingOf(options, spec);
  if (absl::Status status = UseLevelsOfStart(session, spec, reading); !status.ok()) return status;
  const absl::StatusOr<client::DataFile> file = ReadData(session, options.data, reading);
  if (!file.ok()) return file.status();
  // Before the upload, and while the line of each row is known.
  if (!file->finite.ok()) return file->finite;
  const bool takes_missing = options.family->takes_missing && !spec.model().kmeans().spherical();
  if (!takes_missing && !file->complete.ok()) return file->complete;
  if (has_constraints) {
    const absl::Status status = AddConstraints(options, ColumnsOf(file->table), spec);
    if (!status.ok()) return status;
  }
  const absl::StatusOr<v1::Dataset> dataset =
      UploadTable(session, file->table,
                  {.dataset_id = options.keep.empty() ? "" : ResourceId("datasets", options.keep),
                   .description = options.data},
                  absl::StrCat("uploading ", options.data));
  if (!dataset.ok()) return dataset.status();
  spec.set_dataset(dataset->name());
  PreparedData data{.temporary = options.keep.empty() ? dataset->name() : "",
                    .file = SentFile(*file)};
  data.file.label_column = spec.label_column();
  data.file.sequence_column = spec.sequences().column();
  return data;
}

absl::Status SubmitAndFollow(Session& session, const v1::CreateJobRequest& request,
                             const PreparedData& data, bool detach) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Job> job = (*client)->CreateJob(request);
  // The job keeps what it uses, and the name would only fill the server's memory.
  if (!data.temporary.empty()) (*client)->DeleteDataset(data.temporary).IgnoreError();
  if (!job.ok()) return InFile(DataRefused(job.status()), data.file);
  if (detach) return PrintDetached(session, *job);
  absl::StatusOr<FinishedJob> finished = FollowJob(session, job->name(), OnInterrupt::kCancelJob);
  if (!finished.ok()) return finished.status();
  finished->label_names = data.file.LevelsOf(data.file.label_column);
  return PrintResult(session, *finished);
}

absl::Status FitModel(Session& session, const FitOptions& options) {
  absl::StatusOr<v1::FitSpec> spec = SpecOf(options);
  if (!spec.ok()) return spec.status();
  const absl::StatusOr<PreparedData> data = PrepareData(session, options, *spec);
  if (!data.ok()) return data.status();
  v1::CreateJobRequest request;
  *request.mutable_job()->mutable_fit() = *std::move(spec);
  if (options.timeout.has_value()) {
    *request.mutable_job()->mutable_timeout() = ToProto(*options.timeout);
  }
  return SubmitAndFollow(session, request, *data, options.detach);
}

}  // namespace emserve::emctl
