// What the program returns to the shell, and what it says about an error.
//
// The rule: a command that cannot be carried out as it was typed ends with 2, whoever finds out:
// wrong usage, bad data, a request that the server refuses as invalid, a name that is not there or
// is taken. A job that ended FAILED or CANCELLED, and any other failure, ends with 1.
#ifndef EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_
#define EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/emctl/json.h"
#include "emserve/v1/job.pb.h"

namespace emserve::emctl {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // the job failed or was cancelled, or anything else
inline constexpr int kExitUsage = 2;        // wrong usage, bad data, a name not there or taken
inline constexpr int kExitUnreachable = 3;  // no server

// The exit status of a command that ended with `status`.
int ExitStatusOf(const absl::Status& status);

// A refusal of data or of a specification: FailedPrecondition and DataLoss too are then the user's
// to mend (2).
absl::Status DataRefused(absl::Status status);
// Why an ended job has no result, with its name; always exit status 1. OK if it succeeded.
absl::Status JobFailure(const v1::Job& job);

// The same error with a message that is for people as it stands.
absl::Status Worded(const absl::Status& status, std::string_view message);

// What ended a stream of predictions: a refusal of data, with the way out if its rows are more than
// a message holds. `has_sequences`: whole sequences were sent.
absl::Status PredictionRefused(const absl::Status& status, bool has_sequences);

// One line: the message in the words of the options (field_options.h), with the path of the field
// that it is about if it names neither.
std::string ErrorLine(const absl::Status& status);

// {"error": {"code", "message", "field"}}: the code's name, the line, and the path of the field as
// the API names it, left out if there is none.
Json ErrorDocument(const absl::Status& status);

// Says on the standard error what went wrong and, with `json`, also in a document on the standard
// output.
void ReportError(const absl::Status& status, bool json);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_
