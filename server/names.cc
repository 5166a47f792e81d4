#include "server/names.h"

#include <cctype>
#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/errors.h"

namespace emserve::server {
namespace {

constexpr size_t kMaxIdBytes = 63;
constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kRandomLetters = 12;  // 62 bits
constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz";

bool IsLowerLetter(char c) { return c >= 'a' && c <= 'z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsIdBody(std::string_view id) {
  if (id.empty() || id.size() > kMaxIdBytes) return false;
  for (const char c : id) {
    if (!IsLowerLetter(c) && !IsDigit(c) && c != '-' && c != '_' && c != '.') return false;
  }
  return true;
}

bool IsId(std::string_view id) { return IsIdBody(id) && (IsLowerLetter(id[0]) || IsDigit(id[0])); }

// "latest" would look like the newest version, which the name without an alias already means.
bool IsAlias(std::string_view alias) {
  return IsIdBody(alias) && IsLowerLetter(alias[0]) && alias != "latest";
}

}  // namespace

std::string Shown(std::string_view text) {
  constexpr size_t kMaxShown = 80;
  std::string shown;
  for (const char c : text.substr(0, kMaxShown)) {
    shown += std::isprint(static_cast<unsigned char>(c)) ? c : '?';
  }
  if (text.size() > kMaxShown) shown += "...";
  return absl::StrCat("\"", shown, "\"");
}

namespace {

absl::Status BadName(std::string_view path, std::string_view name, const char* form) {
  return InvalidArgument(path, absl::StrCat("got ", Shown(name), ", must be ", form));
}

absl::StatusOr<std::string> ParseName(std::string_view path, std::string_view collection,
                                      std::string_view name, const char* form) {
  if (!name.starts_with(collection) || !IsId(name.substr(collection.size()))) {
    return BadName(path, name, form);
  }
  return std::string(name.substr(collection.size()));
}

}  // namespace

absl::Status CheckId(std::string_view path, std::string_view id) {
  if (IsId(id)) return absl::OkStatus();
  return BadName(path, id, "1 to 63 of [a-z0-9-_.] and begin with a letter or digit");
}

absl::Status CheckAlias(std::string_view path, std::string_view alias) {
  if (IsAlias(alias)) return absl::OkStatus();
  return BadName(path, alias, "1 to 63 of [a-z0-9-_.], begin with a letter and not be \"latest\"");
}

absl::Status CheckRequestId(std::string_view request_id) {
  if (request_id.size() <= kMaxRequestIdBytes) return absl::OkStatus();
  return InvalidArgument(
      "request_id",
      absl::StrCat("got ", request_id.size(), " bytes, must be at most ", kMaxRequestIdBytes));
}

std::string NewId(std::string_view prefix) {
  std::random_device device;  // the system's, not a seeded generator
  std::uniform_int_distribution<size_t> letter(0, kAlphabet.size() - 1);
  std::string id = absl::StrCat(std::string(prefix), "-");
  for (size_t i = 0; i < kRandomLetters; ++i) id += kAlphabet[letter(device)];
  return id;
}

std::string DatasetName(std::string_view id) { return absl::StrCat("datasets/", std::string(id)); }
std::string JobName(std::string_view id) { return absl::StrCat("jobs/", std::string(id)); }
std::string ModelName(std::string_view id) { return absl::StrCat("models/", std::string(id)); }
std::string ModelVersionName(std::string_view model, int64_t version) {
  return absl::StrCat("models/", std::string(model), "/versions/", version);
}

absl::StatusOr<std::string> ParseDatasetName(std::string_view path, std::string_view name) {
  return ParseName(path, "datasets/", name, "of the form datasets/{dataset}");
}

absl::StatusOr<std::string> ParseJobName(std::string_view path, std::string_view name) {
  return ParseName(path, "jobs/", name, "of the form jobs/{job}");
}

absl::StatusOr<std::string> ParseModelName(std::string_view path, std::string_view name) {
  return ParseName(path, "models/", name, "of the form models/{model}");
}

absl::StatusOr<ModelReference> ParseModelReference(std::string_view path, std::string_view name) {
  constexpr char kForms[] =
      "of the form models/{model}, models/{model}/versions/{version} or models/{model}@{alias}";
  constexpr std::string_view kModels = "models/";
  constexpr std::string_view kVersions = "/versions/";
  if (!name.starts_with(kModels)) return BadName(path, name, kForms);
  const std::string_view rest = name.substr(kModels.size());
  ModelReference reference;
  const size_t end = rest.find_first_of("/@");
  reference.model = rest.substr(0, end);
  if (!IsId(reference.model)) return BadName(path, name, kForms);
  if (end == std::string_view::npos) return reference;
  if (rest[end] == '@') {
    reference.alias = rest.substr(end + 1);
    if (!IsAlias(reference.alias)) return BadName(path, name, kForms);
    return reference;
  }
  if (!rest.substr(end).starts_with(kVersions)) return BadName(path, name, kForms);
  const std::string digits(rest.substr(end + kVersions.size()));
  int64_t version = 0;
  // Exactly as versions are written: no sign, no leading zero, no blanks.
  if (digits.empty() || digits[0] < '1' || digits[0] > '9' || !absl::SimpleAtoi(digits, &version) ||
      absl::StrCat(version) != digits) {
    return BadName(path, name, kForms);
  }
  reference.version = version;
  return reference;
}

}  // namespace emserve::server
