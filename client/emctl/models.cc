#include "client/emctl/models.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/summary.h"
#include "client/emctl/text.h"
#include "client/emctl/words.h"
#include "client/file.h"

namespace emserve::emctl {
namespace {

// "key=value, ..." in order of the keys.
template <typename Map>
std::string Pairs(const Map& map) {
  std::vector<std::string> pairs;
  for (const auto& [key, value] : map) pairs.push_back(absl::StrCat(key, "=", value));
  std::sort(pairs.begin(), pairs.end());
  return Printable(absl::StrJoin(pairs, ", "));
}

absl::Status PrintModel(Session& session, const v1::Model& model) {
  if (session.json()) return session.PrintJson(ToJson(model));
  TextTable table("ll");
  table.Add({"name", Printable(model.name())});
  table.Add({"versions", absl::StrCat(model.num_versions(), ", newest ", model.latest_version())});
  if (!model.aliases().empty()) table.Add({"aliases", Pairs(model.aliases())});
  if (!model.tags().empty()) table.Add({"tags", Pairs(model.tags())});
  table.Add({"created", FormatTime(model.create_time())});
  table.Add({"updated", FormatTime(model.update_time())});
  return session.Print(table.ToString());
}

}  // namespace

absl::Status ListModels(Session& session, int64_t limit) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::Model>> models = (*client)->ListModels(limit);
  if (!models.ok()) return models.status();
  if (session.json()) {
    Json list = Json::array();
    for (const v1::Model& model : *models) list.push_back(ToJson(model));
    return session.PrintJson(Json{{"models", std::move(list)}});
  }
  TextTable table("lrrlll");
  table.Add({"NAME", "VERSIONS", "NEWEST", "UPDATED", "ALIASES", "TAGS"});
  for (const v1::Model& model : *models) {
    table.Add({Printable(model.name()), absl::StrCat(model.num_versions()),
               absl::StrCat(model.latest_version()), FormatTime(model.update_time()),
               Pairs(model.aliases()), Pairs(model.tags())});
  }
  return session.Print(table.ToString());
}

absl::Status GetModel(Session& session, const std::string& model) {
  const std::string name = ResourceName("models", model);
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ModelVersion> version = (*client)->GetModelVersion(name);
  if (!version.ok()) return version.status();
  if (session.json()) return session.PrintJson(ToJson(*version));
  if (!NamesVersion(name)) {
    const absl::StatusOr<v1::Model> line = (*client)->GetModel(name);
    if (!line.ok()) return line.status();
    if (absl::Status status = PrintModel(session, *line); !status.ok()) return status;
    if (absl::Status status = session.Print("\n"); !status.ok()) return status;
  }
  TextTable origin("ll");
  if (version->imported()) {
    origin.Add({"origin", "imported"});
  } else {
    origin.Add({"origin", Printable(version->job())});
  }
  origin.Add({"created", FormatTime(version->create_time())});
  origin.Add({"seed", absl::StrCat(version->spec().seed())});
  if (version->aliases_size() > 0) {
    origin.Add({"aliases", Printable(absl::StrJoin(version->aliases(), ", "))});
  }
  if (version->tags_size() > 0) origin.Add({"version tags", Pairs(version->tags())});
  return session.Print(absl::StrCat(Summary(*version, {}), "\n", origin.ToString()));
}

absl::Status ListVersions(Session& session, const std::string& model, int64_t limit) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::ModelVersion>> versions =
      (*client)->ListModelVersions(ResourceName("models", model), limit);
  if (!versions.ok()) return versions.status();
  if (session.json()) {
    Json list = Json::array();
    for (const v1::ModelVersion& version : *versions) list.push_back(ToJson(version));
    return session.PrintJson(Json{{"versions", std::move(list)}});
  }
  TextTable table("lllrrll");
  table.Add({"NAME", "CREATED", "FAMILY", "LOG-LIKELIHOOD", "BIC", "ORIGIN", "ALIASES"});
  for (const v1::ModelVersion& version : *versions) {
    const v1::Criteria& criteria = version.report().criteria();
    table.Add({Printable(version.name()), FormatTime(version.create_time()),
               Printable(version.family()), Fixed(version.report().log_likelihood()),
               version.spec().model().has_kmeans() ? "-" : Fixed(criteria.bic()),
               version.imported() ? "imported" : Printable(version.job()),
               Printable(absl::StrJoin(version.aliases(), ", "))});
  }
  return session.Print(table.ToString());
}

absl::Status DeleteModels(Session& session, const std::vector<std::string>& models, bool force) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  Json list = Json::array();
  for (const std::string& model : models) {
    const std::string name = ResourceName("models", model);
    const absl::Status status = NamesVersion(name) ? (*client)->DeleteModelVersion(name)
                                                   : (*client)->DeleteModel(name, force);
    if (!status.ok()) return status;
    list.push_back(name);
    session.Note(absl::StrCat("deleted ", name));
  }
  return session.json() ? session.PrintJson(Json{{"deleted", std::move(list)}}) : absl::OkStatus();
}

absl::Status AliasModel(Session& session, const std::string& model, const std::string& alias,
                        bool remove) {
  const std::string name = ResourceName("models", model);
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Model> changed =
      remove ? (*client)->DeleteModelAlias(name, alias) : (*client)->SetModelAlias(name, alias);
  if (!changed.ok()) return changed.status();
  return PrintModel(session, *changed);
}

absl::Status TagModel(Session& session, const std::string& model,
                      const std::vector<std::string>& set, const std::vector<std::string>& remove) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& tag : set) {
    const size_t equals = tag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("tag: got ", tag, ", must be key=value"));
    }
    pairs.emplace_back(tag.substr(0, equals), tag.substr(equals + 1));
  }
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const auto tags = (*client)->UpdateModelTags(ResourceName("models", model), pairs, remove);
  if (!tags.ok()) return tags.status();
  if (session.json()) {
    Json map = Json::object();
    for (const auto& [key, value] : *tags) map[key] = value;
    return session.PrintJson(Json{{"tags", std::move(map)}});
  }
  TextTable table("ll");
  for (const auto& [key, value] : *tags) table.Add({Printable(key), Printable(value)});
  return session.Print(table.ToString());
}

absl::Status ShowHistory(Session& session, const std::string& model, int64_t limit) {
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::ModelAuditEntry>> entries =
      (*client)->ListModelHistory(ResourceName("models", model), limit);
  if (!entries.ok()) return entries.status();
  if (session.json()) {
    Json list = Json::array();
    for (const v1::ModelAuditEntry& entry : *entries) list.push_back(ToJson(entry));
    return session.PrintJson(Json{{"history", std::move(list)}});
  }
  TextTable table("lllll");
  table.Add({"TIME", "ACTION", "SUBJECT", "BEFORE", "AFTER"});
  for (const v1::ModelAuditEntry& entry : *entries) {
    table.Add({FormatTime(entry.event_time()), Printable(entry.action()),
               Printable(entry.subject()), Printable(entry.old_value()),
               Printable(entry.new_value())});
  }
  return session.Print(table.ToString());
}

absl::Status ExportModel(Session& session, const std::string& model, const std::string& file) {
  if (session.json() && file == "-") {
    return absl::InvalidArgumentError("file: got - with --json, must be a file");
  }
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const std::string name = ResourceName("models", model);
  const absl::StatusOr<std::string> content = (*client)->ExportModel(name);
  if (!content.ok()) return content.status();
  const absl::StatusOr<std::unique_ptr<client::OutputFile>> output =
      client::OutputFile::Create(file);
  if (!output.ok()) return output.status();
  if (absl::Status status = (*output)->Write(*content); !status.ok()) return status;
  if (absl::Status status = (*output)->Commit(); !status.ok()) return status;
  session.Note(absl::StrCat("exported ", name, " to ", file, ", ",
                            FormatBytes(static_cast<int64_t>(content->size()))));
  if (!session.json()) return absl::OkStatus();
  return session.PrintJson(Json{{"model", name}, {"file", file}, {"size_bytes", content->size()}});
}

absl::Status ImportModel(Session& session, const std::string& file, const std::string& model) {
  const absl::StatusOr<std::string> content = client::ReadFile(file);
  if (!content.ok()) return content.status();
  const absl::StatusOr<client::Client*> client = session.Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ModelVersion> version =
      (*client)->ImportModel(ResourceId("models", model), *content);
  if (!version.ok()) return DataRefused(version.status());
  if (session.json()) return session.PrintJson(ToJson(*version));
  return session.Print(version->name() + "\n");
}

}  // namespace emserve::emctl
