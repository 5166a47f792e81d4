#include "server/jobs/predict_work.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/jobs/table_columns.h"
#include "server/names.h"

namespace emserve::server {
namespace {

DatasetSchema OutputSchema(PredictionOutputs outputs, const ModelVersion& version,
                           int64_t num_rows) {
  const int num_components = version.predictor->model().num_components();
  DatasetSchema schema;
  schema.num_rows = num_rows;
  if (outputs.labels) {
    ColumnSchema label{.name = "label", .kind = ColumnKind::kCategorical};
    for (int k = 0; k < num_components; ++k) label.levels.push_back(absl::StrCat(k));
    schema.columns.push_back(std::move(label));
  }
  if (outputs.posteriors) {
    for (int k = 0; k < num_components; ++k) {
      schema.columns.push_back({.name = absl::StrCat("posterior_", k)});
    }
  }
  if (outputs.log_densities) schema.columns.push_back({.name = "log_density"});
  if (outputs.imputed) {
    for (const ColumnSchema& column : version.columns) {
      schema.columns.push_back({.name = absl::StrCat("imputed_", column.name)});
    }
  }
  if (outputs.imputed_variances) {
    for (const ColumnSchema& column : version.columns) {
      schema.columns.push_back({.name = absl::StrCat("imputed_variance_", column.name)});
    }
  }
  return schema;
}

// A model of categories knows them by their index.
absl::Status CheckKind(const ColumnSchema& given, const ColumnSchema& modelled,
                       const ModelVersion& version) {
  if (given.kind != ColumnKind::kCategorical) return absl::OkStatus();
  if (modelled.kind != ColumnKind::kCategorical) {
    return InvalidArgument(
        absl::StrCat("columns[", given.name, "]"),
        absl::StrCat("got a categorical column, must be numbers as in ", version.name()));
  }
  if (given.levels == modelled.levels) return absl::OkStatus();
  return InvalidArgument(absl::StrCat("columns[", given.name, "]"),
                         absl::StrCat("got other levels than those of ", version.name(),
                                      ", must be the same in the same order"));
}

// Bytes that a pass uses: a block with its workspace per thread.
int64_t WorkingBytes(const Model& model, int64_t num_rows, int num_threads) {
  const Partition partition = Partition::Make(num_rows, model.doubles_per_row());
  return 3 * int64_t{num_threads} * partition.block_rows * model.doubles_per_row() *
         static_cast<int64_t>(sizeof(double));
}

class PredictWork final : public Work {
 public:
  PredictWork(std::shared_ptr<const ModelVersion> version, Table table, PredictionOutputs outputs,
              DatasetStore& datasets, std::unique_ptr<DatasetDraft> draft, int64_t working_bytes,
              PathMapper at_path)
      : version_(std::move(version)),
        table_(std::move(table)),
        outputs_(outputs),
        datasets_(datasets),
        draft_(std::move(draft)),
        working_bytes_(working_bytes),
        at_path_(std::move(at_path)) {}

  // The result is counted by the store.
  int64_t held_bytes() const override { return 0; }
  int64_t working_bytes() const override { return working_bytes_; }

  absl::StatusOr<JobResult> Run(JobContext& context) override {
    const int64_t num_rows = table_.num_rows();
    context.ReportRows(0, num_rows);
    absl::Status status = version_->predictor->PredictRows(
        table_, outputs_, context.share(), context.stop(),
        [&](int rows) { context.ReportRows(rows, num_rows); },
        reinterpret_cast<double*>(draft_->bytes().data()));
    if (!status.ok()) return AtPath(at_path_, status);
    const absl::StatusOr<DatasetInfo> made = datasets_.Publish(std::move(draft_), context.stop());
    if (!made.ok()) return AtPath(at_path_, made.status());
    return PredictJobResult{DatasetName(made->id), version_->name()};
  }

 private:
  const std::shared_ptr<const ModelVersion> version_;
  const Table table_;
  const PredictionOutputs outputs_;
  DatasetStore& datasets_;
  std::unique_ptr<DatasetDraft> draft_;
  const int64_t working_bytes_;
  const PathMapper at_path_;
};

absl::StatusOr<std::unique_ptr<Work>> Make(const PredictRequest& request,
                                           const PredictEnvironment& environment,
                                           const std::string& job_id) {
  const std::string& output_id =
      request.output_dataset_id.empty() ? job_id : request.output_dataset_id;
  if (absl::Status status = CheckId("output_dataset_id", output_id); !status.ok()) return status;
  absl::StatusOr<ResolvedVersion> model = environment.registry->Resolve("model", request.model);
  if (!model.ok()) return model.status();
  const absl::StatusOr<std::string> id = ParseDatasetName("dataset", request.dataset);
  if (!id.ok()) return id.status();
  const absl::StatusOr<std::shared_ptr<const DatasetContent>> content =
      environment.datasets->Content(*id);
  if (!content.ok()) return content.status();

  const ModelVersion& version = *model->version;
  std::vector<std::string> names;
  for (const ColumnSchema& column : (*content)->schema->columns) names.push_back(column.name);
  absl::StatusOr<Table> table = SelectColumns("dataset", (*content)->cells, names, version);
  if (!table.ok()) return table.status();
  const ColumnIndex index(std::move(names));
  for (const ColumnSchema& modelled : version.columns) {
    const absl::StatusOr<int> column = index.Find("dataset", modelled.name);
    if (!column.ok()) return column.status();
    const ColumnSchema& given = (*content)->schema->columns[static_cast<size_t>(*column)];
    if (absl::Status status = CheckKind(given, modelled, version); !status.ok()) return status;
    if (absl::Status status = CheckNotInfinite(**content, *column); !status.ok()) return status;
  }

  PredictionOutputs outputs = request.outputs;
  if (!outputs.any()) outputs.labels = true;
  if (outputs.conditional() && !version.predictor->imputes()) {
    return InvalidArgument("outputs", absl::StrCat("got imputed cells of ", version.name(), ", a ",
                                                   std::string(FamilyName(version.options)),
                                                   ", which has no missing cells; must be others"));
  }
  NewDataset made;
  made.id = output_id;
  made.schema = OutputSchema(outputs, version, table->num_rows());
  made.description = absl::StrCat("Prediction of ", (*content)->name, " by ", version.name());
  absl::StatusOr<std::unique_ptr<DatasetDraft>> draft = environment.datasets->NewDraft(made);
  if (!draft.ok()) return draft.status();
  const int64_t working_bytes =
      WorkingBytes(version.predictor->model(), table->num_rows(), environment.pool->num_threads());
  return std::make_unique<PredictWork>(std::move(model->version), *std::move(table), outputs,
                                       *environment.datasets, *std::move(draft), working_bytes,
                                       request.at_path);
}

}  // namespace

absl::StatusOr<Table> SelectColumns(std::string_view path, Cells cells,
                                    const std::vector<std::string>& names,
                                    const ModelVersion& version) {
  Table::Options options;
  options.names = version.column_names();
  const ColumnIndex index(names);
  for (const std::string& name : options.names) {
    const absl::StatusOr<int> column = index.Find(path, name);
    if (!column.ok()) {
      return InvalidArgument(path, absl::StrCat("got no column \"", name,
                                                "\", must have all columns of ", version.name()));
    }
    options.columns.push_back(*column);
  }
  return Table::Create(std::move(cells), std::move(options));
}

absl::StatusOr<std::unique_ptr<Work>> MakePredictWork(const PredictRequest& request,
                                                      const PredictEnvironment& environment,
                                                      const std::string& job_id) {
  absl::StatusOr<std::unique_ptr<Work>> work = Make(request, environment, job_id);
  if (!work.ok()) return AtPath(request.at_path, work.status());
  return work;
}

}  // namespace emserve::server
