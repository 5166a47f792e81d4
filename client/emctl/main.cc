// emctl, the command line of emserve.
#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "client/emctl/arguments.h"
#include "client/emctl/exit_status.h"
#include "client/emctl/session.h"

int main(int argc, char** argv) {
  using namespace emserve::emctl;
  const Invocation invocation = ParseArguments(argc, argv);
  if (!invocation.run) return invocation.exit_status;
  // gRPC's own log lines would break the rule of one line per error.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  absl::Status status;
  {
    Session session(invocation.common);
    status = invocation.run(session);
  }
  if (!status.ok()) std::fprintf(stderr, "emctl: %s\n", ErrorLine(status).c_str());
  return ExitStatusOf(status);
}
