// The words that people type and read for the names of the API: resources and enum values.
#ifndef EMSERVE_CLIENT_EMCTL_WORDS_H_
#define EMSERVE_CLIENT_EMCTL_WORDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "emserve/v1/job.pb.h"
#include "emserve/v1/model_spec.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"

namespace emserve::emctl {

// `text` as a resource name: "geyser" becomes "models/geyser" in the collection "models"; a full
// name stays as it is.
std::string ResourceName(std::string_view collection, std::string_view text);
// The inverse, for requests that take the last part only.
std::string ResourceId(std::string_view collection, std::string_view text);

// True if the name says which version of a model is meant: models/m/versions/2 or models/m@alias.
bool NamesVersion(std::string_view model);

// The value in lower case without the name of its enum: JOB_STATE_FAILED is "failed". Empty for the
// unspecified value; the number for one that this program does not know.
std::string EnumWord(const google::protobuf::EnumDescriptor& descriptor, int value);
std::string StateWord(v1::JobState state);

// The words of options. Names of R mclust, in any case, mean the same as ours; structures that only
// mclust has a name for go by it.
std::vector<std::string> CovarianceWords();
std::optional<v1::Covariance> ParseCovariance(std::string_view word);
std::string CovarianceWord(v1::Covariance covariance);

// The words of any enum's values, with hyphens, without a last "-em", and "++" for "-plus-plus":
// ALGORITHM_STOCHASTIC_EM is "stochastic". Covariances are as above.
std::vector<std::string> EnumOptionWords(const google::protobuf::EnumDescriptor& descriptor);
// The value that one of them names, in any case and with either "-" or "_"; the full name without
// the enum's prefix will do too.
std::optional<int> ParseEnumWord(const google::protobuf::EnumDescriptor& descriptor,
                                 std::string_view word);

// A separator of CSV fields: one character that no number and no quote needs, or the word tab.
std::optional<char> ParseSeparator(std::string_view word);

// "90s", "1m30s", "0.5h", or a plain number of seconds.
std::optional<absl::Duration> ParseSeconds(std::string_view text);
google::protobuf::Duration ToProto(absl::Duration duration);

// InvalidArgument "<option>: got <got>, must be <must>".
absl::Status Refused(absl::string_view option, absl::string_view got, absl::string_view must);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_WORDS_H_
