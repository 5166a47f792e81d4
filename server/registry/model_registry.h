// The models of one server. Readers take no lock: they look at an immutable snapshot of everything.
#ifndef EMSERVE_SERVER_REGISTRY_MODEL_REGISTRY_H_
#define EMSERVE_SERVER_REGISTRY_MODEL_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/clock.h"
#include "server/names.h"
#include "server/page.h"
#include "server/registry/model_version.h"
#include "server/registry/snapshot_cell.h"

namespace emserve::server {

struct ModelRegistryOptions {
  int64_t max_models = 10000;
  int64_t max_versions_per_model = 1000;
  // Of all versions together: parameters, what is prepared from them, reports and specifications.
  int64_t max_bytes = int64_t{1} << 30;
  Clock clock = nullptr;  // required
};

// A version with the line it was found in, both of the same moment.
struct ResolvedVersion {
  std::shared_ptr<const ModelVersion> version;
  std::shared_ptr<const ModelLine> line;
};

// Thread-safe. Writers wait for each other; a write is one step for all readers. The cost of a
// write is one pointer per model.
class ModelRegistry {
 public:
  explicit ModelRegistry(ModelRegistryOptions options);

  // The version that "models/{model}" (its newest), "models/{model}/versions/{version}" or
  // "models/{model}@{alias}" names. INVALID_ARGUMENT under `path` for a malformed name; NOT_FOUND.
  absl::StatusOr<ResolvedVersion> Resolve(std::string_view path, std::string_view name) const;

  // NOT_FOUND.
  absl::StatusOr<std::shared_ptr<const ModelLine>> Get(std::string_view model) const;
  // By id, ascending.
  absl::StatusOr<Page<std::shared_ptr<const ModelLine>>> List(const PageRequest& request) const;
  // Newest first. NOT_FOUND.
  absl::StatusOr<Page<ResolvedVersion>> ListVersions(std::string_view model,
                                                     const PageRequest& request) const;
  // Newest first. NOT_FOUND.
  absl::StatusOr<Page<std::shared_ptr<const AuditEntry>>> ListAudit(
      std::string_view model, const PageRequest& request) const;

  // Adds `version` as the next one of `model`, which begins to exist with its first version. The
  // registry sets model, number and create_time. Numbers are never used twice, also after
  // deletions. RESOURCE_EXHAUSTED (reasons TOO_MANY_MODELS, TOO_MANY_MODEL_VERSIONS,
  // MODEL_MEMORY_FULL).
  absl::StatusOr<ResolvedVersion> Add(std::string_view model, ModelVersion version);
  // Whether Add has room for a version of `model` with `num_numbers` numbers now, as
  // Predictor::NumbersOf counts them: lets a fit be refused before it runs. Errors as Add.
  absl::Status CheckRoom(std::string_view model, int64_t num_numbers) const;

  // FAILED_PRECONDITION (reason MODEL_HAS_ALIASES) while it has aliases, unless `force`. NOT_FOUND.
  absl::Status DeleteModel(std::string_view model, bool force);
  // `name` is "models/{model}/versions/{version}". FAILED_PRECONDITION (reason VERSION_HAS_ALIASES)
  // while an alias points to it. The last version takes the model with it. NOT_FOUND.
  absl::Status DeleteVersion(std::string_view name);

  // Points `alias` to the version that `name` resolves to.
  absl::StatusOr<std::shared_ptr<const ModelLine>> SetAlias(std::string_view name,
                                                            std::string_view alias);
  // NOT_FOUND when there is no such model or alias.
  absl::StatusOr<std::shared_ptr<const ModelLine>> DeleteAlias(std::string_view model,
                                                               std::string_view alias);
  // Sets and removes tags of "models/{model}" or "models/{model}/versions/{version}" and returns
  // all tags after the change. INVALID_ARGUMENT: a key that is set and removed, a key that is empty
  // or of more than 63 bytes, a value of more than 1024 bytes, more than 64 tags.
  absl::StatusOr<Tags> UpdateTags(std::string_view name, const Tags& set,
                                  const std::vector<std::string>& remove);

 private:
  // All models, by id.
  using Lines = std::vector<std::shared_ptr<const ModelLine>>;

  absl::StatusOr<ResolvedVersion> Find(const Lines& lines, const ModelReference& reference,
                                       std::string_view name) const;
  absl::Status CheckRoomLocked(const Lines& lines, std::string_view model, int64_t bytes) const;
  // Puts `line` into the snapshot in the place of the one with its id; null removes that.
  void Publish(const Lines& lines, std::string_view id, std::shared_ptr<const ModelLine> line);
  void Retire(const ModelLine& line);
  void Audit(ModelLine& line, std::string action, std::string subject, std::string old_value,
             std::string new_value) const;

  const ModelRegistryOptions options_;
  SnapshotCell<Lines> lines_;
  mutable std::mutex writers_;  // one change at a time; guards what follows
  int64_t used_bytes_ = 0;
  // Last numbers of deleted models. When there are too many, the largest stands for all.
  std::map<std::string, int64_t, std::less<>> retired_;
  int64_t retired_floor_ = 0;
};

}  // namespace emserve::server

#endif  // EMSERVE_SERVER_REGISTRY_MODEL_REGISTRY_H_
