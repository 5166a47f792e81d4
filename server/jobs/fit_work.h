// The work of a fit: data and specification in, a new model version out.
#ifndef EMSERVE_SERVER_JOBS_FIT_WORK_H_
#define EMSERVE_SERVER_JOBS_FIT_WORK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/table.h"
#include "core/em/fit.h"
#include "core/em/layout.h"
#include "core/families.h"
#include "core/runtime/pool.h"
#include "server/datasets/dataset_store.h"
#include "server/jobs/fit_data.h"
#include "server/jobs/job.h"
#include "server/registry/model_registry.h"

namespace emserve::server {

// A fit as the domain sees it. Paths in errors are those of a FitSpec; those that begin with "data"
// ("data[3]", "data.weights[3]") are rows of the table, wherever it came from.
struct FitRequest {
  ModelOptions model;
  // Core names fields relative to the options ("emission.ridge"); this gives the path inside the
  // specification's `model` ("mixture.emission.gaussian.ridge"), empty for what is no field of it.
  std::function<std::string(std::string_view field)> model_field;

  FitSource source;  // taken

  // How to fit. With start kGiven the parameters come from exactly one of the next two, and `given`
  // is filled in here.
  FitOptions options;
  // Start parameters in the layout that is passed; paths of its errors are kept.
  std::function<absl::StatusOr<std::vector<double>>(const Layout& layout)> start_parameters;
  std::string start_model;  // the version to start from, any form of a model reference

  std::string model_id;  // empty: the job's id
  // What the new version keeps of the specification, and who made it; opaque.
  std::string spec;
  std::string server_version;
};

// What fits need of the server. All outlive the work.
struct FitEnvironment {
  DatasetStore* datasets = nullptr;
  ModelRegistry* registry = nullptr;
  Pool* pool = nullptr;
};

inline constexpr int kMaxRestarts = 100000;

// Checks everything that can be known before running and makes the work. Sealed datasets are judged
// by the figures of their columns, inline tables by one pass over them.
//
// INVALID_ARGUMENT: a malformed field ("columns[2]: ..."), a cell that is NaN or infinite in a
// modelled column or the weights ("columns[x]: got nan in row 7, ..."), negative weights, a start
// that does not fit the model. NOT_FOUND: dataset, model. FAILED_PRECONDITION: a dataset that is
// not ACTIVE, data that cannot support the model (a constant column, fewer rows than components),
// with the remedy. RESOURCE_EXHAUSTED: no room for the result.
absl::StatusOr<std::unique_ptr<Work>> MakeFitWork(FitRequest request,
                                                  const FitEnvironment& environment,
                                                  const std::string& job_id);

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_JOBS_FIT_WORK_H_
