#include "server/registry/model_registry.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr char kListName[] = "models";
constexpr size_t kMaxAuditEntries = 1000;
constexpr size_t kMaxAliases = 1000;
constexpr size_t kMaxTags = 64;
constexpr size_t kMaxTagKeyBytes = 63;
constexpr size_t kMaxTagValueBytes = 1024;
constexpr size_t kMaxRetired = 100000;

// Parameters, what is prepared from them (inverse factors, log weights), and a copy on its way.
constexpr int64_t kBytesPerNumber = 3 * sizeof(double);
constexpr int64_t kBytesPerVersion = 4096;

int64_t Footprint(int64_t num_numbers) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(num_numbers, kBytesPerNumber, &bytes) ||
      __builtin_add_overflow(bytes, kBytesPerVersion, &bytes)) {
    return std::numeric_limits<int64_t>::max();
  }
  return bytes;
}

int64_t Footprint(const ModelVersion& version) {
  int64_t bytes = Footprint(Predictor::NumbersOf(version.predictor->model()));
  bytes += static_cast<int64_t>(version.spec.size() + 5 * sizeof(double) * version.columns.size());
  for (const ColumnSchema& column : version.columns) {
    bytes += static_cast<int64_t>(sizeof(ColumnSchema) + column.name.size());
    for (const std::string& level : column.levels) {
      bytes += static_cast<int64_t>(sizeof(std::string) + level.size());
    }
  }
  for (const RestartOutcome& outcome : version.report->restarts) {
    bytes += static_cast<int64_t>(sizeof(RestartOutcome) + outcome.message.size() +
                                  outcome.status.message().size());
  }
  bytes += static_cast<int64_t>(version.report->best.message.size() +
                                version.report->optima.size() * sizeof(Optimum) +
                                version.report->criteria.separation.size() * sizeof(double));
  for (const Repair& repair : version.report->repairs) {
    bytes += static_cast<int64_t>(sizeof(Repair) + repair.reason.size());
  }
  return bytes;
}

int64_t Footprint(const Tags& tags) {
  int64_t bytes = 0;
  for (const auto& [key, value] : tags) {
    bytes += static_cast<int64_t>(2 * sizeof(std::string) + key.size() + value.size());
  }
  return bytes;
}

// Of a model with everything in it.
int64_t Footprint(const ModelLine& line) {
  int64_t bytes = Footprint(line.tags);
  for (const auto& version : line.versions) bytes += Footprint(*version);
  for (const auto& [number, tags] : line.version_tags) bytes += Footprint(tags);
  return bytes;
}

template <typename Lines>
auto LowerBound(const Lines& lines, std::string_view id) {
  return std::lower_bound(
      lines.begin(), lines.end(), id,
      [](const auto& line, std::string_view wanted) { return line->id < wanted; });
}

template <typename Lines>
std::shared_ptr<const ModelLine> FindLine(const Lines& lines, std::string_view id) {
  const auto found = LowerBound(lines, id);
  return found != lines.end() && (*found)->id == id ? *found : nullptr;
}

// Their number is checked first, since every one is looked for among those to remove.
absl::Status CheckTags(const Tags& set, const std::vector<std::string>& remove) {
  if (set.size() > kMaxTags) {
    return InvalidArgument("set",
                           absl::StrCat("got ", set.size(), " tags, must be at most ", kMaxTags));
  }
  for (const auto& [key, value] : set) {
    if (key.empty() || key.size() > kMaxTagKeyBytes) {
      return InvalidArgument("set", absl::StrCat("got a key of ", key.size(),
                                                 " bytes, must be 1 to ", kMaxTagKeyBytes));
    }
    const std::string path = absl::StrCat("set[", key, "]");
    if (value.size() > kMaxTagValueBytes) {
      return InvalidArgument(path, absl::StrCat("got a value of ", value.size(),
                                                " bytes, must be at most ", kMaxTagValueBytes));
    }
    if (std::find(remove.begin(), remove.end(), key) != remove.end()) {
      return InvalidArgument(path, "got a key that is removed too, must be one of them");
    }
  }
  return absl::OkStatus();
}

// The position of a cursor of numbers; a token of this list that says something else was forged.
absl::StatusOr<std::optional<int64_t>> NumberCursor(const std::string& list,
                                                    const PageRequest& request) {
  const absl::StatusOr<std::string> cursor = DecodePageToken(list, request);
  if (!cursor.ok()) return cursor.status();
  if (cursor->empty()) return std::nullopt;
  int64_t number = 0;
  if (!absl::SimpleAtoi(*cursor, &number)) {
    return InvalidArgument("page_token", "got a token that this list did not make");
  }
  return number;
}

}  // namespace

ModelRegistry::ModelRegistry(ModelRegistryOptions options)
    : options_(std::move(options)), lines_(std::make_shared<const Lines>()) {}

absl::StatusOr<ResolvedVersion> ModelRegistry::Find(const Lines& lines,
                                                    const ModelReference& reference,
                                                    std::string_view name) const {
  std::shared_ptr<const ModelLine> line = FindLine(lines, reference.model);
  if (line == nullptr) return NotFound(kModelType, ModelName(reference.model));
  std::shared_ptr<const ModelVersion> version = line->versions.back();
  if (reference.version.has_value()) {
    version = line->Find(*reference.version);
  } else if (!reference.alias.empty()) {
    const auto alias = line->aliases.find(reference.alias);
    version = alias == line->aliases.end() ? nullptr : line->Find(alias->second);
  }
  if (version == nullptr) return NotFound(kModelVersionType, name);
  return ResolvedVersion{std::move(version), std::move(line)};
}

absl::StatusOr<ResolvedVersion> ModelRegistry::Resolve(std::string_view path,
                                                       std::string_view name) const {
  const absl::StatusOr<ModelReference> reference = ParseModelReference(path, name);
  if (!reference.ok()) return reference.status();
  return Find(*lines_.Load(), *reference, name);
}

absl::StatusOr<std::shared_ptr<const ModelLine>> ModelRegistry::Get(std::string_view model) const {
  std::shared_ptr<const ModelLine> line = FindLine(*lines_.Load(), model);
  if (line == nullptr) return NotFound(kModelType, ModelName(model));
  return line;
}

absl::StatusOr<Page<std::shared_ptr<const ModelLine>>> ModelRegistry::List(
    const PageRequest& request) const {
  const absl::StatusOr<int> size = PageSize(request);
  if (!size.ok()) return size.status();
  const absl::StatusOr<std::string> after = DecodePageToken(kListName, request);
  if (!after.ok()) return after.status();
  const std::shared_ptr<const Lines> lines = lines_.Load();
  auto it = LowerBound(*lines, *after);
  if (it != lines->end() && (*it)->id == *after) ++it;
  Page<std::shared_ptr<const ModelLine>> page;
  while (it != lines->end() && static_cast<int>(page.items.size()) < *size) {
    page.items.push_back(*it++);
  }
  if (it != lines->end()) {
    page.next_page_token = EncodePageToken(kListName, page.items.back()->id);
  }
  return page;
}

absl::StatusOr<Page<ResolvedVersion>> ModelRegistry::ListVersions(
    std::string_view model, const PageRequest& request) const {
  const absl::StatusOr<int> size = PageSize(request);
  if (!size.ok()) return size.status();
  const std::string list = absl::StrCat(ModelName(model), "/versions");
  const absl::StatusOr<std::optional<int64_t>> before = NumberCursor(list, request);
  if (!before.ok()) return before.status();
  absl::StatusOr<std::shared_ptr<const ModelLine>> line = Get(model);
  if (!line.ok()) return line.status();
  Page<ResolvedVersion> page;
  for (auto it = (*line)->versions.rbegin(); it != (*line)->versions.rend(); ++it) {
    if (before->has_value() && (*it)->number >= **before) continue;
    if (static_cast<int>(page.items.size()) == *size) {
      page.next_page_token = EncodePageToken(list, absl::StrCat(page.items.back().version->number));
      break;
    }
    page.items.push_back({*it, *line});
  }
  return page;
}

absl::StatusOr<Page<std::shared_ptr<const AuditEntry>>> ModelRegistry::ListAudit(
    std::string_view model, const PageRequest& request) const {
  const absl::StatusOr<int> size = PageSize(request);
  if (!size.ok()) return size.status();
  const std::string list = absl::StrCat(ModelName(model), "/audit");
  const absl::StatusOr<std::optional<int64_t>> before = NumberCursor(list, request);
  if (!before.ok()) return before.status();
  const absl::StatusOr<std::shared_ptr<const ModelLine>> line = Get(model);
  if (!line.ok()) return line.status();
  // Entries are numbered from the model's first, so that pages hold while new ones come.
  Page<std::shared_ptr<const AuditEntry>> page;
  int64_t number = (*line)->num_audited;
  for (auto it = (*line)->audit.rbegin(); it != (*line)->audit.rend(); ++it, --number) {
    if (before->has_value() && number >= **before) continue;
    if (static_cast<int>(page.items.size()) == *size) {
      page.next_page_token = EncodePageToken(list, absl::StrCat(number + 1));
      break;
    }
    page.items.push_back(*it);
  }
  return page;
}

absl::Status ModelRegistry::CheckRoomLocked(const Lines& lines, std::string_view model,
                                            int64_t bytes) const {
  const std::shared_ptr<const ModelLine> line = FindLine(lines, model);
  if (line == nullptr && static_cast<int64_t>(lines.size()) >= options_.max_models) {
    return ResourceExhausted("TOO_MANY_MODELS", "max_models",
                             absl::StrCat(ModelName(model), ": got one more model than the ",
                                          options_.max_models, " that may exist; delete models"),
                             absl::ZeroDuration());
  }
  if (line != nullptr &&
      static_cast<int64_t>(line->versions.size()) >= options_.max_versions_per_model) {
    return ResourceExhausted(
        "TOO_MANY_MODEL_VERSIONS", "max_versions_per_model",
        absl::StrCat(ModelName(model), ": got one more version than the ",
                     options_.max_versions_per_model, " that may exist; delete versions"),
        absl::ZeroDuration());
  }
  if (bytes > options_.max_bytes - used_bytes_) {
    return ResourceExhausted(
        "MODEL_MEMORY_FULL", "max_model_bytes",
        absl::StrCat(ModelName(model), ": got a version of ", bytes, " bytes while ", used_bytes_,
                     " of ", options_.max_bytes, " are in use; delete models"),
        absl::ZeroDuration());
  }
  return absl::OkStatus();
}

absl::Status ModelRegistry::CheckRoom(std::string_view model, int64_t num_numbers) const {
  const std::lock_guard lock(writers_);
  return CheckRoomLocked(*lines_.Load(), model, Footprint(num_numbers));
}

void ModelRegistry::Publish(const Lines& lines, std::string_view id,
                            std::shared_ptr<const ModelLine> line) {
  auto next = std::make_shared<Lines>();
  next->reserve(lines.size() + 1);
  const auto place = LowerBound(lines, id);
  next->assign(lines.begin(), place);
  if (line != nullptr) next->push_back(std::move(line));
  const bool replaces = place != lines.end() && (*place)->id == id;
  next->insert(next->end(), place + (replaces ? 1 : 0), lines.end());
  lines_.Store(std::move(next));
}

void ModelRegistry::Retire(const ModelLine& line) {
  if (retired_.size() >= kMaxRetired) {
    for (const auto& [id, number] : retired_) retired_floor_ = std::max(retired_floor_, number);
    retired_.clear();
  }
  retired_[line.id] = line.last_number;
}

void ModelRegistry::Audit(ModelLine& line, std::string action, std::string subject,
                          std::string old_value, std::string new_value) const {
  line.update_time = options_.clock();
  if (line.audit.size() == kMaxAuditEntries) line.audit.erase(line.audit.begin());
  line.audit.push_back(std::make_shared<const AuditEntry>(
      AuditEntry{line.update_time, std::move(action), std::move(subject), std::move(old_value),
                 std::move(new_value)}));
  ++line.num_audited;
}

absl::StatusOr<ResolvedVersion> ModelRegistry::Add(std::string_view model, ModelVersion version) {
  if (absl::Status status = CheckId("model_id", model); !status.ok()) return status;
  const int64_t bytes = Footprint(version);
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  if (absl::Status status = CheckRoomLocked(*lines, model, bytes); !status.ok()) return status;

  std::shared_ptr<ModelLine> line;
  if (const std::shared_ptr<const ModelLine> known = FindLine(*lines, model)) {
    line = std::make_shared<ModelLine>(*known);
  } else {
    line = std::make_shared<ModelLine>();
    line->id = model;
    line->create_time = options_.clock();
    const auto retired = retired_.find(model);
    line->last_number = retired == retired_.end() ? retired_floor_ : retired->second;
  }
  version.model = model;
  version.number = ++line->last_number;
  version.create_time = options_.clock();
  auto added = std::make_shared<const ModelVersion>(std::move(version));
  line->versions.push_back(added);
  Audit(*line, added->imported ? "VERSION_IMPORTED" : "VERSION_CREATED",
        absl::StrCat(added->number), "", added->job);
  used_bytes_ += bytes;
  Publish(*lines, model, line);
  return ResolvedVersion{std::move(added), std::move(line)};
}

absl::Status ModelRegistry::DeleteModel(std::string_view model, bool force) {
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  const std::shared_ptr<const ModelLine> line = FindLine(*lines, model);
  if (line == nullptr) return NotFound(kModelType, ModelName(model));
  if (!line->aliases.empty() && !force) {
    return FailedPrecondition("MODEL_HAS_ALIASES", kModelType, ModelName(model),
                              absl::StrCat("got aliases that point into it (", line->aliases.size(),
                                           "), must have none; delete them or use force"));
  }
  used_bytes_ -= Footprint(*line);
  Retire(*line);
  Publish(*lines, model, nullptr);
  return absl::OkStatus();
}

absl::Status ModelRegistry::DeleteVersion(std::string_view name) {
  const absl::StatusOr<ModelReference> reference = ParseModelReference("name", name);
  if (!reference.ok()) return reference.status();
  if (!reference->version.has_value()) {
    return InvalidArgument("name", absl::StrCat("got \"", std::string(name),
                                                "\", must be of the form "
                                                "models/{model}/versions/{version}"));
  }
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  const absl::StatusOr<ResolvedVersion> found = Find(*lines, *reference, name);
  if (!found.ok()) return found.status();
  const int64_t number = found->version->number;
  if (const std::vector<std::string> aliases = found->line->AliasesOf(number); !aliases.empty()) {
    return FailedPrecondition(
        "VERSION_HAS_ALIASES", kModelVersionType, name,
        absl::StrCat("got the alias ", aliases[0],
                     " that points to it, must have none; move or delete it"));
  }
  if (found->line->versions.size() == 1) {
    used_bytes_ -= Footprint(*found->line);
    Retire(*found->line);
    Publish(*lines, reference->model, nullptr);
    return absl::OkStatus();
  }
  used_bytes_ -= Footprint(*found->version) + Footprint(found->line->TagsOf(number));
  auto line = std::make_shared<ModelLine>(*found->line);
  line->versions.erase(std::find(line->versions.begin(), line->versions.end(), found->version));
  line->version_tags.erase(number);
  Audit(*line, "VERSION_DELETED", absl::StrCat(number), "", "");
  Publish(*lines, reference->model, std::move(line));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ModelLine>> ModelRegistry::SetAlias(std::string_view name,
                                                                         std::string_view alias) {
  if (absl::Status status = CheckAlias("alias", alias); !status.ok()) return status;
  const absl::StatusOr<ModelReference> reference = ParseModelReference("name", name);
  if (!reference.ok()) return reference.status();
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  const absl::StatusOr<ResolvedVersion> found = Find(*lines, *reference, name);
  if (!found.ok()) return found.status();
  const int64_t number = found->version->number;
  auto line = std::make_shared<ModelLine>(*found->line);
  const auto [place, fresh] = line->aliases.emplace(alias, number);
  if (!fresh && place->second == number) return found->line;
  if (fresh && line->aliases.size() > kMaxAliases) {
    return ResourceExhausted("TOO_MANY_ALIASES", "aliases",
                             absl::StrCat("alias: got one more alias than the ", kMaxAliases,
                                          " that a model may have; delete aliases"),
                             absl::ZeroDuration());
  }
  const std::string old_value = fresh ? "" : absl::StrCat(place->second);
  place->second = number;
  Audit(*line, "ALIAS_SET", std::string(alias), old_value, absl::StrCat(number));
  Publish(*lines, reference->model, line);
  return line;
}

absl::StatusOr<std::shared_ptr<const ModelLine>> ModelRegistry::DeleteAlias(
    std::string_view model, std::string_view alias) {
  if (absl::Status status = CheckAlias("alias", alias); !status.ok()) return status;
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  const std::shared_ptr<const ModelLine> known = FindLine(*lines, model);
  if (known == nullptr) return NotFound(kModelType, ModelName(model));
  auto line = std::make_shared<ModelLine>(*known);
  const auto found = line->aliases.find(std::string(alias));
  if (found == line->aliases.end()) {
    return NotFound(kModelVersionType, absl::StrCat(ModelName(model), "@", std::string(alias)));
  }
  const std::string old_value = absl::StrCat(found->second);
  line->aliases.erase(found);
  Audit(*line, "ALIAS_DELETED", std::string(alias), old_value, "");
  Publish(*lines, model, line);
  return line;
}

absl::StatusOr<Tags> ModelRegistry::UpdateTags(std::string_view name, const Tags& set,
                                               const std::vector<std::string>& remove) {
  if (absl::Status status = CheckTags(set, remove); !status.ok()) return status;
  const absl::StatusOr<ModelReference> reference = ParseModelReference("name", name);
  if (!reference.ok()) return reference.status();
  const std::lock_guard lock(writers_);
  const std::shared_ptr<const Lines> lines = lines_.Load();
  const absl::StatusOr<ResolvedVersion> found = Find(*lines, *reference, name);
  if (!found.ok()) return found.status();
  auto line = std::make_shared<ModelLine>(*found->line);
  const bool of_version = reference->version.has_value() || !reference->alias.empty();
  Tags tags = of_version ? line->TagsOf(found->version->number) : line->tags;
  const Tags before = tags;
  for (const std::string& key : remove) tags.erase(key);
  for (const auto& [key, value] : set) tags[key] = value;
  if (tags.size() > kMaxTags) {
    return InvalidArgument(
        "set", absl::StrCat("got ", tags.size(), " tags in all, must be at most ", kMaxTags,
                            "; remove tags"));
  }
  if (tags == before) return tags;
  const int64_t more = Footprint(tags) - Footprint(before);
  if (more > options_.max_bytes - used_bytes_) {
    return ResourceExhausted("MODEL_MEMORY_FULL", "max_model_bytes",
                             "set: got tags for which there is no room; delete models",
                             absl::ZeroDuration());
  }
  used_bytes_ += more;
  const auto subject = [&](const std::string& key) {
    return of_version ? absl::StrCat(found->version->number, ":", key) : key;
  };
  for (const auto& [key, value] : before) {
    const auto after = tags.find(key);
    if (after == tags.end()) Audit(*line, "TAGS_UPDATED", subject(key), value, "");
  }
  for (const auto& [key, value] : tags) {
    const auto old = before.find(key);
    if (old != before.end() && old->second == value) continue;
    Audit(*line, "TAGS_UPDATED", subject(key), old == before.end() ? "" : old->second, value);
  }
  if (!of_version) {
    line->tags = tags;
  } else if (tags.empty()) {
    line->version_tags.erase(found->version->number);
  } else {
    line->version_tags[found->version->number] = tags;
  }
  Publish(*lines, reference->model, std::move(line));
  return tags;
}

}  // namespace emserve::server
