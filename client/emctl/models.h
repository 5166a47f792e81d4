// emctl models.
#ifndef EMSERVE_CLIENT_EMCTL_MODELS_H_
#define EMSERVE_CLIENT_EMCTL_MODELS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

// `model` is a model's name, or that of a version (models/m/versions/2, m@alias) where one is
// meant.
absl::Status ListModels(Session& session, int64_t limit);
absl::Status GetModel(Session& session, const std::string& model);
absl::Status ListVersions(Session& session, const std::string& model, int64_t limit);
absl::Status DeleteModels(Session& session, const std::vector<std::string>& models, bool force);
// Sets the alias, or removes it.
absl::Status AliasModel(Session& session, const std::string& model, const std::string& alias,
                        bool remove);
// Sets "key=value" tags and removes others; with neither it shows them.
absl::Status TagModel(Session& session, const std::string& model,
                      const std::vector<std::string>& set, const std::vector<std::string>& remove);
absl::Status ShowHistory(Session& session, const std::string& model, int64_t limit);
absl::Status ExportModel(Session& session, const std::string& model, const std::string& file);
absl::Status ImportModel(Session& session, const std::string& file, const std::string& model);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_MODELS_H_
