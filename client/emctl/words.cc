#include "client/emctl/words.h"

#include <utility>

#include "absl/strings/ascii.h"
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
    {"vvv", v1::COVARIANCE_FULL},
    {"eee", v1::COVARIANCE_TIED},
    {"vvi", v1::COVARIANCE_DIAGONAL},
    {"eei", v1::COVARIANCE_TIED_DIAGONAL},
    {"vii", v1::COVARIANCE_SPHERICAL},
    {"eii", v1::COVARIANCE_TIED_SPHERICAL},
    {"v", v1::COVARIANCE_SPHERICAL},
    {"e", v1::COVARIANCE_TIED_SPHERICAL},
};
constexpr size_t kOwnCovariances = 6;

constexpr std::pair<const char*, v1::StartMethod> kStartMethods[] = {
    {"kmeans++", v1::START_METHOD_KMEANS_PLUS_PLUS},
    {"random-rows", v1::START_METHOD_RANDOM_ROWS},
};

constexpr std::pair<const char*, v1::PredictionOutput> kOutputs[] = {
    {"labels", v1::PREDICTION_OUTPUT_LABELS},
    {"posteriors", v1::PREDICTION_OUTPUT_POSTERIORS},
    {"log-densities", v1::PREDICTION_OUTPUT_LOG_DENSITIES},
};

std::string Lower(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

template <typename Words>
auto Find(const Words& words, std::string_view text)
    -> std::optional<std::decay_t<decltype(words[0].second)>> {
  const std::string word = absl::StrReplaceAll(Lower(text), {{"_", "-"}});
  for (const auto& [name, value] : words) {
    if (word == name) return value;
  }
  return std::nullopt;
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
  return Find(kCovariances, word);
}

std::string CovarianceWord(v1::Covariance covariance) {
  for (const auto& [name, value] : kCovariances) {
    if (value == covariance) return name;
  }
  return covariance == v1::COVARIANCE_UNSPECIFIED ? "full"
                                                  : absl::StrCat(static_cast<int>(covariance));
}

std::optional<v1::StartMethod> ParseStartMethod(std::string_view word) {
  return Find(kStartMethods, word);
}

std::optional<v1::PredictionOutput> ParseOutput(std::string_view word) {
  return Find(kOutputs, word);
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

}  // namespace emserve::emctl
