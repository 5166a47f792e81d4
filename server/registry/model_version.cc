#include "server/registry/model_version.h"

#include <algorithm>

#include "server/names.h"

namespace emserve::server {

std::string ModelVersion::name() const { return ModelVersionName(model, number); }

std::vector<std::string> ModelVersion::column_names() const {
  std::vector<std::string> names;
  for (const ColumnSchema& column : columns) names.push_back(column.name);
  return names;
}

std::shared_ptr<const ModelVersion> ModelLine::Find(int64_t number) const {
  const auto found = std::lower_bound(
      versions.begin(), versions.end(), number,
      [](const auto& version, int64_t wanted) { return version->number < wanted; });
  return found != versions.end() && (*found)->number == number ? *found : nullptr;
}

std::vector<std::string> ModelLine::AliasesOf(int64_t number) const {
  std::vector<std::string> found;
  for (const auto& [alias, target] : aliases) {
    if (target == number) found.push_back(alias);
  }
  return found;
}

Tags ModelLine::TagsOf(int64_t number) const {
  const auto found = version_tags.find(number);
  return found == version_tags.end() ? Tags() : found->second;
}

}  // namespace emserve::server
