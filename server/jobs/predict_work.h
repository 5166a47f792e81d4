// The work of a batch prediction: dataset in, dataset out.
#ifndef EMSERVE_SERVER_JOBS_PREDICT_WORK_H_
#define EMSERVE_SERVER_JOBS_PREDICT_WORK_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/job.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// A batch prediction as the domain sees it. Paths in errors are those of a PredictSpec.
struct PredictRequest {
  std::string model;              // any form of a model reference
  std::string dataset;            // "datasets/{dataset}"
  PredictionOutputs outputs;      // none set: labels
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
// log_density, imputed_<name>, ..., imputed_variance_<name>, ..., those that were asked for.
//
// INVALID_ARGUMENT: a malformed field, a dataset without one of the model's columns, a cell in them
// that is infinite, categories that are not the model's, outputs that the family does not have.
// NOT_FOUND: model, dataset. FAILED_PRECONDITION: a dataset that is not ACTIVE. ALREADY_EXISTS,
// RESOURCE_EXHAUSTED: of the dataset to be made.
absl::StatusOr<std::unique_ptr<Work>> MakePredictWork(const PredictRequest& request,
                                                      const PredictEnvironment& environment,
                                                      const std::string& job_id);

// `cells` with columns called `names`, as a table of the model's columns in the model's order;
// other columns are ignored. INVALID_ARGUMENT under `path` naming the column that is not there.
absl::StatusOr<Table> SelectColumns(std::string_view path, Cells cells,
                                    const std::vector<std::string>& names,
                                    const ModelVersion& version);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_PREDICT_WORK_H_
