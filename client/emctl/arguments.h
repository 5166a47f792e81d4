// The command line: what it may say, and what was said.
#ifndef EMSERVE_CLIENT_EMCTL_ARGUMENTS_H_
#define EMSERVE_CLIENT_EMCTL_ARGUMENTS_H_

#include <functional>

#include "absl/status/status.h"
#include "client/emctl/session.h"

namespace emserve::emctl {

struct Invocation {
  CommonOptions common;
  // The command; empty if there is nothing to run, because help was shown or the usage is wrong.
  std::function<absl::Status(Session&)> run;
  // Exit status if there is nothing to run.
  int exit_status = 0;
};

// Parses the command line. Help goes to the standard output; wrong usage is one line on the
// standard error, and with --json a document too.
Invocation ParseArguments(int argc, const char* const* argv);

}  // namespace emserve::emctl

#endif  // EMSERVE_CLIENT_EMCTL_ARGUMENTS_H_
