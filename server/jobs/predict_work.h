// The work of a batch prediction: dataset in, dataset out.
#ifndef EMSERVE_SERVER_JOBS_PREDICT_WORK_H_
#define EMSERVE_SERVER_JOBS_PREDICT_WORK_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/job.h"
#include "server/jobs/table_sequences.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// A batch prediction as the domain sees it. Paths in errors are those of a PredictSpec.
struct PredictRequest {
  std::string model;          // any form of a model reference
  std::string dataset;        // "datasets/{dataset}"
  PredictionOutputs outputs;  // none set: labels
  // How the rows follow each other; none: models of sequences see one of all rows.
  std::optional<SequenceSource> sequences = std::nullopt;
  std::string output_dataset_id;  // empty: the job's id
  // Applied to all errors of MakePredictWork and of the work that it makes; "rows[3]" in them is a
  // row of the dataset.
  PathMapper at_path = nullptr;
};

// What predictions need of the server. All outlive the work.
struct PredictEnvironment {
  DatasetStore* datasets = nullptr;
  ModelRegistry* registry = nullptr;
  Pool* pool = nullptr;
};

// Checks everything that can be known before running, reserves the dataset to be made and makes the
// work. The result has float64 columns label (categorical, levels "0", "1", ...), posterior_0, ...,
// log_density, imputed_<name>, ..., imputed_variance_<name>, ..., filtered_0, ..., decoded
// (categorical), forecast_0, ..., forecast_mean_<name>, ..., forecast_variance_<name>, ...,
// residual_<name>, ..., forecast_residual_<name>, ..., sequence_log_likelihood,
// path_log_probability, best_path_0, ..., best_path_log_probability_0, ..., those that were asked
// for.
//
// INVALID_ARGUMENT: a malformed field, a dataset without one of the model's columns, a cell in them
// that is infinite, categories that are not the model's, outputs that the family does not have,
// a forecast horizon or a number of paths that is out of range or takes too long, sequences of a
// model that has none or that do not fit the rows.
// NOT_FOUND: model, dataset. FAILED_PRECONDITION: a dataset that is not ACTIVE. ALREADY_EXISTS,
// RESOURCE_EXHAUSTED: of the dataset to be made.
absl::StatusOr<std::unique_ptr<Work>> MakePredictWork(const PredictRequest& request,
                                                      const PredictEnvironment& environment,
                                                      const std::string& job_id);

// `cells` with columns called `names`, as a table of the model's columns in the model's order;
// other columns are ignored. For a model of sequences its rows are cut as `sequences` says.
// INVALID_ARGUMENT under `path` naming the column that is not there, and under "sequences".
absl::StatusOr<Table> SelectColumns(std::string_view path, Cells cells,
                                    const std::vector<std::string>& names,
                                    const ModelVersion& version,
                                    const std::optional<SequenceSource>& sequences = std::nullopt);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_PREDICT_WORK_H_
