// A fitted model as the registry keeps it, and the model line it belongs to.
#ifndef EMSERVE_SERVER_REGISTRY_MODEL_VERSION_H_
#define EMSERVE_SERVER_REGISTRY_MODEL_VERSION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/data/summary.h"
#include "core/em/fit.h"
#include "core/em/model.h"
#include "core/em/update.h"
#include "core/families.h"
#include "core/select/criteria.h"
#include "server/datasets/dataset.h"
#include "server/registry/predictor.h"

namespace emserve::server {

// What a fit reports about itself.
struct FitReport {
  double objective = 0;       // log_likelihood + log_prior of the returned parameters, nats
  double log_likelihood = 0;  // nats
  double log_prior = 0;       // nats
  RestartOutcome best;        // the winning restart
  int64_t total_iterations = 0;
  int64_t total_evaluations = 0;  // passes over the data of all restarts
  Past past = {0, 0};             // of an update: what the model before counted for
  Criteria criteria;
  std::vector<Repair> repairs;           // in the last iteration of the winning restart
  std::vector<RestartOutcome> restarts;  // by number, at most the first kMaxReported
  std::vector<Optimum> optima;           // best first, at most kMaxReported

  static constexpr size_t kMaxReported = 1000;
};

// Immutable once in the registry.
struct ModelVersion {
  std::string model;       // id of the model; set by the registry
  int64_t number = 0;      // 1, 2, 3, ...; set by the registry
  absl::Time create_time;  // set by the registry

  ModelOptions options;
  std::vector<ColumnSchema> columns;           // modelled, in order
  Summary summary;                             // of the training data, weighted
  std::vector<double> theta;                   // in the layout of predictor->model().parameters()
  std::shared_ptr<const Predictor> predictor;  // never null

  std::shared_ptr<const FitReport> report;  // never null
  std::string spec;                         // what was fitted, as the codec wrote it; opaque here
  std::string job;                          // id of the job that made it; empty if imported
  std::string dataset_sha256;               // of the training data
  std::string server_version;
  bool imported = false;

  // "models/{model}/versions/{version}".
  std::string name() const;
  std::vector<std::string> column_names() const;
};

using Tags = std::map<std::string, std::string>;

// A line of a model's history; actions as v1.ModelAuditEntry lists them.
struct AuditEntry {
  absl::Time time;
  std::string action;  // UPPER_SNAKE
  std::string subject;
  std::string old_value;
  std::string new_value;
};

// A model line at one moment. Immutable.
struct ModelLine {
  std::string id;
  absl::Time create_time;
  absl::Time update_time;
  int64_t last_number = 0;                                    // of the newest version ever made
  std::vector<std::shared_ptr<const ModelVersion>> versions;  // by number, at least one
  std::map<std::string, int64_t> aliases;                     // alias -> number
  Tags tags;
  std::map<int64_t, Tags> version_tags;                  // number -> tags, only non-empty ones
  std::vector<std::shared_ptr<const AuditEntry>> audit;  // oldest first, the newest 1000
  int64_t num_audited = 0;                               // entries ever made

  // The version with `number`, or null. O(log versions).
  std::shared_ptr<const ModelVersion> Find(int64_t number) const;
  // Aliases that point to `number`.
  std::vector<std::string> AliasesOf(int64_t number) const;
  // Tags of a version; empty if it has none.
  Tags TagsOf(int64_t number) const;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_MODEL_VERSION_H_
