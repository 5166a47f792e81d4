#include "server/jobs/predict_work.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/errors.h"
#include "server/jobs/fit_memory.h"
#include "server/jobs/table_columns.h"
#include "server/names.h"

namespace emserve::server {
namespace {

DatasetSchema OutputSchema(PredictionOutputs outputs, const ModelVersion& version,
                           int64_t num_rows) {
  const int num_components = version.predictor->model().num_components();
  DatasetSchema schema;
  schema.num_rows = num_rows;
  const auto add_component = [&](const char* name) {
    ColumnSchema column{.name = name, .kind = ColumnKind::kCategorical};
    for (int k = 0; k < num_components; ++k) column.levels.push_back(absl::StrCat(k));
    schema.columns.push_back(std::move(column));
  };
  const auto add_numbered = [&](const char* name, int count) {
    for (int k = 0; k < count; ++k) schema.columns.push_back({.name = absl::StrCat(name, "_", k)});
  };
  const auto add_cells = [&](const char* name) {
    for (const ColumnSchema& column : version.columns) {
      schema.columns.push_back({.name = absl::StrCat(name, "_", column.name)});
    }
  };
  if (outputs.labels) add_component("label");
  if (outputs.posteriors) add_numbered("posterior", num_components);
  if (outputs.log_densities) schema.columns.push_back({.name = "log_density"});
  if (outputs.imputed) add_cells("imputed");
  if (outputs.imputed_variances) add_cells("imputed_variance");
  if (outputs.filtered) add_numbered("filtered", num_components);
  if (outputs.decoded) add_component("decoded");
  if (outputs.forecasts) add_numbered("forecast", num_components);
  if (outputs.forecasts && version.predictor->forecasts_cells()) {
    add_cells("forecast_mean");
    add_cells("forecast_variance");
  }
  if (outputs.residuals) add_cells("residual");
  if (outputs.forecast_residuals) add_cells("forecast_residual");
  if (outputs.sequence_log_likelihoods) {
    schema.columns.push_back({.name = "sequence_log_likelihood"});
  }
  if (outputs.path_log_probabilities) schema.columns.push_back({.name = "path_log_probability"});
  if (outputs.best_paths) {
    add_numbered("best_path", outputs.num_paths);
    add_numbered("best_path_log_probability", outputs.num_paths);
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

// `status`, about a column, as one about the field that names the dataset.
absl::Status OfDataset(const absl::Status& status) {
  return Reworded(status, absl::StrCat("dataset: ", std::string(status.message())));
}

// Bytes that a pass uses: a block with its workspace per thread, for a model of sequences those and
// their messages, twice, and what forecasts and best paths take.
int64_t WorkingBytes(const Predictor& predictor, const Table& table, PredictionOutputs outputs,
                     int num_threads) {
  constexpr double kMost = 4e18;  // within int64
  const Model& model = predictor.model();
  const Partition partition = Partition::Make(table.num_rows(), model.doubles_per_row());
  const double messages = 2 * ChainDoubles(model, partition, num_threads);
  const double beside = predictor.BytesBesideBlocks(table, outputs, num_threads);
  return (3 * int64_t{num_threads} * partition.block_rows * model.doubles_per_row() +
          static_cast<int64_t>(messages)) *
             static_cast<int64_t>(sizeof(double)) +
         static_cast<int64_t>(std::min(beside, kMost / 2));
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
  int64_t held_bytes() const override { return SizeOf(table_.sequences()); }
  int64_t working_bytes() const override { return working_bytes_; }

  absl::StatusOr<JobResult> Run(JobContext& context) override {
    const int64_t num_rows = table_.num_rows();
    context.ReportRows(0, num_rows);
    absl::Status status = version_->predictor->PredictRows(
        table_, outputs_, context.share(), [&] { return context.stop().stop_requested(); },
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
  absl::StatusOr<Table> table =
      SelectColumns("dataset", (*content)->cells, names, version, request.sequences);
  if (!table.ok()) return table.status();
  const ColumnIndex index(std::move(names));
  for (const ColumnSchema& modelled : version.columns) {
    const absl::StatusOr<int> column = index.Find("dataset", modelled.name);
    if (!column.ok()) return column.status();
    const ColumnSchema& given = (*content)->schema->columns[static_cast<size_t>(*column)];
    absl::Status status = CheckKind(given, modelled, version);
    if (status.ok()) status = CheckNotInfinite(**content, *column);
    if (!status.ok()) return OfDataset(status);
  }

  PredictionOutputs outputs = request.outputs;
  if (!outputs.any()) outputs.labels = true;
  absl::Status status = version.predictor->CheckOutputs(outputs);
  // The job's working memory is what bounds that of paths.
  constexpr double kAnyBytes = std::numeric_limits<double>::infinity();
  if (status.ok()) status = version.predictor->CheckPaths(*table, outputs, kAnyBytes);
  if (!status.ok()) return status;
  NewDataset made;
  made.id = output_id;
  made.schema = OutputSchema(outputs, version, table->num_rows());
  made.description = absl::StrCat("Prediction of ", (*content)->name, " by ", version.name());
  absl::StatusOr<std::unique_ptr<DatasetDraft>> draft = environment.datasets->NewDraft(made);
  if (!draft.ok()) return draft.status();
  const int64_t working_bytes =
      WorkingBytes(*version.predictor, *table, outputs, environment.pool->num_threads());
  return std::make_unique<PredictWork>(std::move(model->version), *std::move(table), outputs,
                                       *environment.datasets, *std::move(draft), working_bytes,
                                       request.at_path);
}

}  // namespace

absl::StatusOr<Table> SelectColumns(std::string_view path, Cells cells,
                                    const std::vector<std::string>& names,
                                    const ModelVersion& version,
                                    const std::optional<SequenceSource>& sequences) {
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
  if (version.predictor->sequential()) {
    if (sequences.has_value()) {
      auto cut = FindSequences(*sequences, cells, index);
      if (!cut.ok()) return cut.status();
      options.sequences = *std::move(cut);
    } else {
      options.sequences = std::make_shared<const Sequences>(cells.num_rows);
    }
  } else if (sequences.has_value()) {
    return InvalidArgument("sequences", absl::StrCat("got some for ", version.name(), ", a ",
                                                     std::string(FamilyName(version.options)),
                                                     ", which has no sequences; must be absent"));
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
