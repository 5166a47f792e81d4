#include "client/emctl/words.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace emserve::emctl {
namespace {

constexpr std::pair<const char*, v1::Covariance> kCovariances[] = {
    {"full", v1::COVARIANCE_FULL},
    {"tied", v1::COVARIANCE_TIED},
    {"diagonal", v1::COVARIANCE_DIAGONAL},
    {"tied-diagonal", v1::COVARIANCE_TIED_DIAGONAL},
    {"spherical", v1::COVARIANCE_SPHERICAL},
    {"tied-spherical", v1::COVARIANCE_TIED_SPHERICAL},
    {"VEI", v1::COVARIANCE_VEI},
    {"EVI", v1::COVARIANCE_EVI},
    {"VEE", v1::COVARIANCE_VEE},
    {"EVE", v1::COVARIANCE_EVE},
    {"VVE", v1::COVARIANCE_VVE},
    {"EEV", v1::COVARIANCE_EEV},
    {"VEV", v1::COVARIANCE_VEV},
    {"EVV", v1::COVARIANCE_EVV},
    {"VVV", v1::COVARIANCE_FULL},
    {"EEE", v1::COVARIANCE_TIED},
    {"VVI", v1::COVARIANCE_DIAGONAL},
    {"EEI", v1::COVARIANCE_TIED_DIAGONAL},
    {"VII", v1::COVARIANCE_SPHERICAL},
    {"EII", v1::COVARIANCE_TIED_SPHERICAL},
    {"V", v1::COVARIANCE_SPHERICAL},
    {"E", v1::COVARIANCE_TIED_SPHERICAL},
};
constexpr size_t kOwnCovariances = 14;

std::string Lower(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

// As options are compared: without case, with hyphens.
std::string Plain(std::string_view text) { return absl::StrReplaceAll(Lower(text), {{"_", "-"}}); }

// The word of an enum's value as people type it.
std::string OptionWord(const google::protobuf::EnumDescriptor& descriptor, int value) {
  std::string word = Plain(EnumWord(descriptor, value));
  if (absl::EndsWith(word, "-em")) word.resize(word.size() - 3);
  return absl::StrReplaceAll(word, {{"-plus-plus", "++"}});
}

}  // namespace

std::string ResourceName(std::string_view collection, std::string_view text) {
  const std::string prefix = absl::StrCat(std::string(collection), "/");
  return text.substr(0, prefix.size()) == prefix ? std::string(text) : prefix + std::string(text);
}

std::string ResourceId(std::string_view collection, std::string_view text) {
  return ResourceName(collection, text).substr(collection.size() + 1);
}

bool NamesVersion(std::string_view model) {
  return model.find('@') != std::string_view::npos ||
         model.find("/versions/") != std::string_view::npos;
}

std::string EnumWord(const google::protobuf::EnumDescriptor& descriptor, int value) {
  if (value == 0) return "";
  const google::protobuf::EnumValueDescriptor* found = descriptor.FindValueByNumber(value);
  if (found == nullptr) return absl::StrCat(value);
  // The unspecified value is the enum's prefix and that word.
  const size_t prefix = descriptor.FindValueByNumber(0)->name().size() - sizeof("UNSPECIFIED") + 1;
  return Lower(found->name().substr(prefix));
}

std::string StateWord(v1::JobState state) { return EnumWord(*v1::JobState_descriptor(), state); }

std::vector<std::string> CovarianceWords() {
  std::vector<std::string> words;
  for (size_t i = 0; i < kOwnCovariances; ++i) words.emplace_back(kCovariances[i].first);
  return words;
}

std::optional<v1::Covariance> ParseCovariance(std::string_view word) {
  for (const auto& [name, value] : kCovariances) {
    if (Plain(word) == Plain(name)) return value;
  }
  return std::nullopt;
}

std::string CovarianceWord(v1::Covariance covariance) {
  for (const auto& [name, value] : kCovariances) {
    if (value == covariance) return name;
  }
  return covariance == v1::COVARIANCE_UNSPECIFIED ? "full"
                                                  : absl::StrCat(static_cast<int>(covariance));
}

std::vector<std::string> EnumOptionWords(const google::protobuf::EnumDescriptor& descriptor) {
  if (&descriptor == v1::Covariance_descriptor()) return CovarianceWords();
  std::vector<std::string> words;
  for (int i = 0; i < descriptor.value_count(); ++i) {
    const int value = descriptor.value(i)->number();
    if (value != 0) words.push_back(OptionWord(descriptor, value));
  }
  return words;
}

std::optional<int> ParseEnumWord(const google::protobuf::EnumDescriptor& descriptor,
                                 std::string_view word) {
  if (&descriptor == v1::Covariance_descriptor()) {
    const std::optional<v1::Covariance> covariance = ParseCovariance(word);
    return covariance.has_value() ? std::optional<int>(*covariance) : std::nullopt;
  }
  const std::string plain = Plain(word);
  for (int i = 0; i < descriptor.value_count(); ++i) {
    const int value = descriptor.value(i)->number();
    if (value == 0) continue;
    if (plain == OptionWord(descriptor, value) || plain == Plain(EnumWord(descriptor, value))) {
      return value;
    }
  }
  return std::nullopt;
}

std::optional<char> ParseSeparator(std::string_view word) {
  if (word == "tab" || word == "\\t") return '\t';
  if (word.size() != 1) return std::nullopt;
  const char c = word[0];
  const bool is_needed =
      absl::ascii_isalnum(c) || std::string_view("\".+-").find(c) != std::string_view::npos;
  if (is_needed || !(absl::ascii_isprint(c) || c == '\t')) return std::nullopt;
  return c;
}

std::optional<absl::Duration> ParseSeconds(std::string_view text) {
  const std::string owned(text);
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(owned, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(owned, &duration)) {
    return std::nullopt;
  }
  if (duration <= absl::ZeroDuration() || duration > absl::Hours(24 * 365 * 100)) {
    return std::nullopt;
  }
  return duration;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration out;
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &duration);
  out.set_seconds(seconds);
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return out;
}

absl::Status Refused(absl::string_view option, absl::string_view got, absl::string_view must) {
  return absl::InvalidArgumentError(absl::StrCat(option, ": got ", got, ", must be ", must));
}

}  // namespace emserve::emctl
