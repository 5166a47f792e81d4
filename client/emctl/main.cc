// emctl, the command line of emserve.
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
  // A reconnect between two attempts of a call moves on at this pace, not at gRPC's every 5 s.
  setenv("GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS", "100", 0);
  absl::Status status;
  {
    Session session(invocation.common);
    status = invocation.run(session);
  }
  if (!status.ok()) ReportError(status, invocation.common.json);
  return ExitStatusOf(status);
}
