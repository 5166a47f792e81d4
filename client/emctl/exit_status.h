// What the program returns to the shell, and the one line it says about an error.
#ifndef EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_
#define EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "emserve/v1/job.pb.h"

namespace emserve::emctl {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // the job failed or was cancelled, or the server refused
inline constexpr int kExitUsage = 2;   // wrong usage or bad data
inline constexpr int kExitUnreachable = 3;  // no server

// The exit status of a command that ended with `status`.
int ExitStatusOf(const absl::Status& status);

// A refusal of data or of a specification: FailedPrecondition too is then the user's to mend (2).
absl::Status DataRefused(absl::Status status);
// Why an ended job has no result, with its name; always exit status 1. OK if it succeeded.
absl::Status JobFailure(const v1::Job& job);

// One line: the message, with the path of the field that it is about if it does not begin with it.
std::string ErrorLine(const absl::Status& status);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_EXIT_STATUS_H_
